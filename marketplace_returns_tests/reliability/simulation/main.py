"""Plays seeds of the simulator and writes its section of the page."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from rich.console import Console

from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.simulation import simulation_page
from marketplace_returns_tests.reliability.simulation.kept import keep, kept
from marketplace_returns_tests.reliability.simulation.play import Result
from marketplace_returns_tests.reliability.simulation.sums import Sums, run, told

SEEDS = 1_000
KEPT = page.ROOT / "data" / "simulation.jsonl"
HASH_SEED = "0"
AMBIGUOUS_MIN = 0.05
"""The least share of attempts without a clear answer in a whole run."""


def main(words: list[str]) -> int:
    """Play the seeds that this commit has not played yet; return 1 where one failed. Only a whole run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many seeds")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes")
    parser.add_argument("--seed", type=int, help="play this one alone")
    wanted = parser.parse_args(words)
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        # A set's order is of the seed too, and Python draws it before any program of its own can.
        again = [sys.executable, "-m", "marketplace_returns_tests.reliability", "simulation", *words]
        return subprocess.run(again, env={**os.environ, "PYTHONHASHSEED": HASH_SEED}, check=False).returncode
    console = Console(soft_wrap=True, highlight=False)
    seeds = [wanted.seed] if wanted.seed is not None else range(wanted.first, wanted.first + wanted.seeds)
    commit = page.commit()
    known = {} if wanted.seed is not None else {seed: one for seed, one in kept(KEPT, commit).items() if seed in seeds}
    if known:
        console.print(f"{len(known)} of {len(seeds)} seeds were played on this commit already")

    def tell(result: Result) -> None:
        if result.failures:
            console.print(told(result, commit), markup=False, style="red")
        elif wanted.seed is not None:
            console.print(f"seed {result.seed}: trace {result.trace}, ledger {result.ledger}", markup=False)

        if wanted.seed is None:
            keep(KEPT, commit, result)

    sums = run([seed for seed in seeds if seed not in known], 1 if len(seeds) == 1 else wanted.jobs, tell)
    sums.results += known.values()
    console.print(summary(sums))
    if sums.failed:
        return 1
    if len(seeds) >= SEEDS:
        if simulation_page.ambiguous(sums) < AMBIGUOUS_MIN:
            console.print(f"less than {AMBIGUOUS_MIN:.0%} of the writes were ambiguous: too little went wrong")
            return 1
        page.write("simulation", simulation_page.section(sums))
        console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0


def summary(sums: Sums) -> str:
    """Say in two lines what a run came to."""
    figures = ", ".join(f"{sums.total(what)} {what}" for what in ("doubled", "lost", "unexplained"))
    refunds = sums.total("refunds")
    return (
        f"{len(sums.results)} seeds, {sums.total('orders')} orders in {sums.seconds:.0f} s: {figures}; {len(sums.failed)} failed\n"
        f"{sums.total('attempts')} attempts, {simulation_page.ambiguous(sums):.1%} ambiguous; {refunds} refunds: "
        f"below {simulation_page.bound(refunds):.1e} doubled a refund at 95 %"
    )
