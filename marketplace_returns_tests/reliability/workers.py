"""Many at once on one shop: two workers, two that evaluate sensors, and a command line, for ten minutes by the wall clock.

Here live the processes, the people who act at the sandbox meanwhile, and the judge. Not here: what a process does in its turn
(workers_role.py). Invariant: what is judged is the sandbox's own record; a process that ends by itself, or whose command ends
otherwise than the contract says, has failed.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import dagster as dg
from rich.console import Console

from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox, serve
from marketplace_returns.settings import load_settings
from marketplace_returns_tests.benchmarks.latency import (
    FREQUENCY_S,
    SHOP,
    Watched,
    act_once,
    prepare,
    process,
    write_settings,
)
from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.workers_role import DONE, STOP

SEED = 5
ROLES = ("worker", "worker", "sensors", "sensors", "command")
FAULTS = "light"
STOPPING_S = 240.0
SETTLING_S = 20 * 60.0  # two empty reads ten minutes apart and the schedule's last step before
OPEN = (State.PLANNED, State.SENDING, State.UNKNOWN)


@dataclass
class Outcome:
    """What ten minutes came to."""

    minutes: float
    acts: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    """How many turns each role had that ended well, and how many that found the lake or the ledger busy."""
    writes: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    wrongs: list[str] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Return what did not hold."""
        return [*self.wrongs, *self.died, *self.open]


def play(minutes: float, orders: int, seed: int, console: Console) -> Outcome:
    """Play the weeks before, then let all work at once; the acts depend on the seed, who is quicker does not."""
    with tempfile.TemporaryDirectory(prefix="workers-") as name, ExitStack() as stack:
        folder = prepare(Path(name), orders, console)
        sandbox = serve(WorldConfig(), state_path=folder / "world.state", faults=FAULTS, real_clock=True)
        stack.callback(sandbox.stop)
        write_settings(folder, sandbox, profile="sandbox")
        (folder / "data" / "dagster").mkdir(parents=True, exist_ok=True)
        outcome = Outcome(minutes)
        _work_at_once(folder, sandbox, outcome, random.Random(seed))
        _settle(sandbox, outcome)
    return outcome


def _work_at_once(folder: Path, sandbox: RunningSandbox, outcome: Outcome, chance: random.Random) -> None:
    watched = {name: Watched() for name in FREQUENCY_S}
    skus: list[str] = []
    with dg.DagsterInstance.get():  # made once: two processes that both find none would both make it
        pass
    with ExitStack() as stack:
        running = []
        for number, role in enumerate(ROLES):
            command = [sys.executable, "-m", "marketplace_returns_tests.reliability.workers_role", role, str(number)]
            running.append(stack.enter_context(process(command, folder / f"{number}-{role}.log")))
        end = time.monotonic() + outcome.minutes * 60
        while time.monotonic() < end:
            act_once(sandbox, watched, chance, skus, is_loaded=False)
            time.sleep(chance.uniform(1, 3))
        (folder / STOP).touch()
        give_up = time.monotonic() + STOPPING_S
        while any(each.poll() is None for each in running) and time.monotonic() < give_up:
            time.sleep(0.5)
    outcome.acts.update({name: len(each.acts) for name, each in watched.items()})
    for number, role in enumerate(ROLES):
        told = (folder / f"{number}-{role}.log").read_text(encoding="utf-8", errors="replace")
        code = running[number].returncode
        if code != 0 or DONE not in told:
            outcome.died.append(f"{role} {number} ended with {code}: {told[-800:]}")
        for line in told.splitlines():
            if line.startswith("turn "):
                outcome.turns[f"{role}: {line.removeprefix('turn ')}"] += 1


def _settle(sandbox: RunningSandbox, outcome: Outcome) -> None:
    """Pass alone, without faults, until nothing waits; then hold the sandbox's record against what it should be."""
    outcome.faults = sandbox.do(lambda: sum(rule.hits for rule in sandbox.gate.rules))
    sandbox.clear_faults()
    app = App.open(load_settings())
    try:
        app.ledger.recover()
        give_up = time.monotonic() + SETTLING_S
        for number in itertools.count():
            run_pass(app, SHOP, run_id=f"settling-{number}", everything=True)
            waiting = [each for each in app.ledger.intents(shop=SHOP, states=OPEN) if each.not_before is None]
            if not waiting or time.monotonic() > give_up:
                break
            time.sleep(20)
        for (kind, state), count in app.ledger.intent_counts(SHOP).items():
            outcome.writes[f"{kind} {state}"] += count
        named = {each.intent_id for each in app.ledger.exceptions(shop=SHOP)}
        outcome.open = [
            f"{each.kind} {each.natural_key} is {each.state} and nobody owns it: {each.last_error}"
            for each in app.ledger.intents(shop=SHOP, states=(*OPEN, State.REJECTED, State.CONFLICT))
            if each.intent_id not in named and (each.not_before is None or each.state not in OPEN)
        ]
    finally:
        app.close()
    truth = sandbox.truth(timedelta(hours=6))
    outcome.wrongs = [f"{check['name']}: {each}" for check in truth["checks"] for each in check["violations"]]


_SECTION = """
## Two workers, two sensors and a command line at once

On one shop, for {minutes:g} minutes by the wall clock: two processes that pass over and over, two that evaluate Dagster's sensors and run
the jobs these ask for, and one that calls `marketplace-returns sync` again and again; one SQLite ledger and lake for all. People order,
pack and send back at the sandbox meanwhile, and it fails lightly (lost replies, time-outs, 429, 5xx). Then one process passes until nothing waits. The
judge is the sandbox's own record.

{figures}
"""


def section(outcome: Outcome) -> str:
    """Return the section of the page."""
    figures = [
        *((f"{name}, acts that ask for it", count) for name, count in outcome.acts.items()),
        ("faults the sandbox made", outcome.faults),
        *(sorted(outcome.turns.items())),
        *((f"writes: {name}", count) for name, count in sorted(outcome.writes.items())),
        ("**wrong, doubled or missing in the sandbox's record**", len(outcome.wrongs)),
        ("**writes that wait with nobody to own them**", len(outcome.open)),
        ("**processes that ended by themselves**", len(outcome.died)),
        ("seed of the acts", SEED),
    ]
    return _SECTION.format(minutes=outcome.minutes, figures=page.table(("what", "figure"), figures))


def main(words: list[str]) -> int:
    """Play it; return 1 where something did not hold. A whole run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability workers", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--orders", type=int, default=300)
    wanted = parser.parse_args(words)
    console = Console(soft_wrap=True, highlight=False)
    outcome = play(wanted.minutes, wanted.orders, SEED, console)
    console.print(section(outcome), markup=False)
    for failure in outcome.failures:
        console.print(failure, markup=False, style="red")
    if outcome.failures:
        return 1
    if not words:
        page.write("workers", section(outcome))
        console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0
