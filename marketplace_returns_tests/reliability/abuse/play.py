"""Plays the payload abuse, or a part of it, and writes its section of the page."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from rich.console import Console

from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.abuse.batch import (
    DIED,
    REFUSED,
    SET_ASIDE,
    TYPED,
    UNCHANGED,
    Verdict,
    land,
    look,
)
from marketplace_returns_tests.reliability.abuse.reads import reads_of
from marketplace_returns_tests.reliability.abuse.scene import Scene, Setting, world_of

SEED = 20261001
MUTANTS = 10_000
BATCH = 400
LOOKED_AT = 0.03
"""This share of a source's mutants is given to what writes look at; the rest lands."""
LOOK_SHARE = 0.5

RETURNS = {
    "reveni": world_of("reveni", multi_shipment=True),
    "rebound": world_of("rebound"),
    "rebound_v2": world_of("rebound", rebound_generation="v2"),
    "returngo": world_of("returngo"),
}
SOURCES = {
    "mirakl": ("mirakl", "reveni"),
    "reveni": ("reveni", "reveni"),
    "rebound legacy_ir": ("rebound", "rebound"),
    "rebound v2": ("rebound", "rebound_v2"),
    "returngo": ("returngo", "returngo"),
    "peoplevox": ("peoplevox", "reveni"),
}
"""Each source as the page calls it: its system, and the world it is read in."""


@dataclass
class Sums:
    """What the abuse came to, by source."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)

    @property
    def failures(self) -> list[str]:
        """Return what did not hold."""
        return [words for each in self.verdicts.values() for words in (*each.failures, *each.wrongs)]


def mutants_of(verdict: Verdict) -> int:
    """Return how many mutants were played."""
    return sum(count for key, count in verdict.counts.items() if key[0] in {"read", "look"})


def play(
    sources: list[str],
    mutants: int,
    *,
    seed: int,
    size: int,
    worlds: dict[str, dict[str, object]],
    tell: Callable[[str], None],
) -> Sums:
    """Play so many mutants of each source."""
    sums = Sums()
    for world in dict.fromkeys(SOURCES[name][1] for name in sources):
        with Scene(Setting(world, worlds[world])) as scene:
            for name in sources:
                if SOURCES[name][1] == world:
                    started = time.perf_counter()
                    sums.verdicts[name] = _play_source(scene, name, mutants, seed, size, tell)
                    sums.seconds[name] = round(time.perf_counter() - started)
    return sums


def _play_source(scene: Scene, name: str, mutants: int, seed: int, size: int, tell: Callable[[str], None]) -> Verdict:
    source = SOURCES[name][0]
    verdict = Verdict()
    with scene.batch() as app:
        reads = reads_of(source, app, scene.clock.now())
    number = 0
    while mutants_of(verdict) < mutants * (1 - LOOKED_AT):
        got = land(scene, source, reads, Random(f"{seed}/{name}/land/{number}"), min(size, mutants))
        _tell(got, f"{name} land {number}", tell)
        verdict.add(got)
        number += 1
    number = 0
    while mutants_of(verdict) < mutants:
        got = look(scene, source, Random(f"{seed}/{name}/look/{number}"), LOOK_SHARE)
        _tell(got, f"{name} look {number}", tell)
        verdict.add(got)
        number += 1
    return verdict


def _tell(got: Verdict, name: str, tell: Callable[[str], None]) -> None:
    for words in (*got.failures, *got.wrongs):
        tell(f"{name}: {words}")


FATES = (UNCHANGED, TYPED, SET_ASIDE, REFUSED, DIED)

_SECTION = """
## Abused payloads

Answers of every source, as the sandbox gives them to every read the pipeline makes, are mutated one place at a time: fields
dropped, renamed, nulled, of another type, huge, negative, NaN, beyond a double; odd currencies, instants and texts; elements and
pages doubled or gone; byte order marks, cut gzip, truncated and foreign bodies; for the warehouse the same in its CSV, and its
envelope. Mutants land {batch} together on a shop in the middle of its month; then every lane decides, what is due is sent to the
world as it is, and the world's records are held against its own arithmetic. A share of the mutants is given to the looks that
writes take before they leave and when their reply was lost.

{figures}

### By source

*Unchanged*: the client gave what it gives without abuse. *Typed*: it landed as rows. *Set aside*: in quarantine, with its
payload, its reason and an exception. *Refused*: the answer is no answer, and an exception says so. *Looks*: seen by a write.

{sources}

### By mutation

{mutations}

`python -m marketplace_returns_tests.reliability abuse --only peoplevox --mutants 1000 --seed 7` plays some.
"""


def _fates(verdict: Verdict, kind: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for key, count in verdict.counts.items():
        if key[0] == kind:
            found[key[-1]] += count
    return found


def section(sums: Sums, seed: int, batch: int) -> str:
    """Return the section of the page."""
    total = Verdict()
    rows = []
    for name, verdict in sums.verdicts.items():
        total.add(verdict)
        fates = _fates(verdict, "read")
        looks = sum(count for key, count in verdict.counts.items() if key[0] == "look")
        reads = len({key[1] for key in verdict.counts if key[0] == "read"})
        rows.append((name, reads, mutants_of(verdict), *(fates[fate] for fate in FATES), looks, sums.seconds[name]))
    by_mutation: dict[str, Counter[str]] = {}
    for key, count in total.counts.items():
        if key[0] == "fate":
            by_mutation.setdefault(key[1], Counter())[key[2]] += count
    writes = sum(count for key, count in total.counts.items() if key[0] == "write" and key[2] == "CONFIRMED")
    figures = [
        ("mutants", mutants_of(total)),
        ("**runs that died**", len(total.failures)),
        ("**wrong writes**", len(total.wrongs)),
        ("writes that were sent over abused facts or looks, and confirmed", writes),
        (
            "writes as a mutant told, of another id or parcel number, that moved no money or stock",
            total.counts["as told",],
        ),
        ("seed", seed),
        ("seconds", sum(sums.seconds.values())),
    ]
    return _SECTION.format(
        batch=batch,
        figures=page.table(("what", "figure"), figures),
        sources=page.table(("source", "reads", "mutants", *FATES, "looks", "s"), rows),
        mutations=page.table(
            ("mutation", *FATES),
            ((name, *(found[fate] for fate in FATES)) for name, found in sorted(by_mutation.items()) if name),
        ),
    )


def main(words: list[str]) -> int:
    """Play all sources, or one; return 1 where something did not hold. Only a whole run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability abuse", description=__doc__)
    parser.add_argument("--only", choices=tuple(SOURCES), help="one source")
    parser.add_argument("--mutants", type=int, default=MUTANTS, help="how many of each source")
    parser.add_argument("--batch", type=int, default=BATCH, help="how many land together")
    parser.add_argument("--seed", type=int, default=SEED)
    wanted = parser.parse_args(words)
    console = Console(soft_wrap=True, highlight=False)
    sums = play(
        [wanted.only] if wanted.only else list(SOURCES),
        wanted.mutants,
        seed=wanted.seed,
        size=wanted.batch,
        worlds=RETURNS,
        tell=lambda told: console.print(told, markup=False, style="red"),
    )
    for name, verdict in sums.verdicts.items():
        told = ", ".join(f"{count} {fate}" for fate, count in _fates(verdict, "read").items())
        ends = f"{len(verdict.failures)} failures, {len(verdict.wrongs)} wrong writes"
        console.print(f"{name}: {mutants_of(verdict)} mutants in {sums.seconds[name]} s: {told}; {ends}", markup=False)
    if sums.failures:
        return 1
    if not wanted.only and wanted.mutants >= MUTANTS:
        page.write("abuse", section(sums, wanted.seed, wanted.batch))
        console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0
