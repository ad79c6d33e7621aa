"""The page's section of the crash grid: what was played, what came of it, and what was left out for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.reliability.grid import FAULTS, POINTS, STRIKES, Fault, Point
from marketplace_returns_tests.reliability.page import table
from marketplace_returns_tests.reliability.run import Sums
from marketplace_returns_tests.reliability.writes import SEED, WRITES

_GRID = """
## The crash grid

Real HTTP to the sandbox, the real ledger, executors and dispatch; the run that is struck is a worker process of its own.

Every kind of write, at every point of its life, with every fault; then a restart, and passes until nothing is due any more.
The judge is the sandbox's own record of what was applied. *Lost*: not applied, and nobody owns it. *Duplicate*: applied
twice, or sent again although it was applied (values that are set, such as stock, may be). *Unexplained*: refused or in
conflict without an exception that has an owner, not at rest, an attempt without an end, an exception of a write that is done.

{figures}

The {kinds} kinds are played in {forms} forms, since some kinds leave by several calls: a form strikes another of them.

### What became of the writes

{outcomes}

### By form

{by_write}

### The points

{points}

### The faults

{faults}

### Which cells make sense

The number of forms played at each point with each fault, of {forms}.

{played}

Cells that make no sense, and why:

{reasons}

`python -m marketplace_returns_tests.reliability grid --only refund/P4/reset` plays one cell, `--only refund` or
`--only refund/P4` those that begin so.
"""


def section(sums: Sums) -> str:
    """Return the section of the crash grid."""
    count = len(sums.results) + len(sums.senseless)
    main = sum("." not in each.cell.write.name for each in sums.results)
    main_all = len(WriteKind) * len(Point) * len(Fault)
    figures = [
        ("cells: 13 kinds x 9 points x 12 faults", main_all),
        ("of these played (the others are named below with their reason)", main),
        ("cells with the further forms", count),
        ("of these played", len(sums.results)),
        ("**duplicates**", sums.total("duplicates")),
        ("**lost**", sums.total("lost")),
        ("**unexplained**", sums.total("unexplained")),
        ("cells that needed a person", sum("person" in each.outcome for each in sums.results)),
        ("attempts", sum(each.attempts for each in sums.results)),
        ("seconds", round(sums.seconds)),
        ("seed of the worlds (nothing else is drawn)", SEED),
    ]
    played = Counter((each.cell.point, each.cell.fault) for each in sums.results)
    by_write = []
    for each in WRITES:
        of_it = [result for result in sums.results if result.cell.write is each]
        sent_more = sum(result.attempts > 1 for result in of_it)
        adopted = sum(result.outcome.startswith("adopted") for result in of_it)
        system, operation = each.struck_call
        by_write.append((f"`{each.name}`", f"{system} {operation}", len(of_it), adopted, sent_more, *_zeros(of_it)))
    return _GRID.format(
        kinds=len(WriteKind),
        forms=len(WRITES),
        figures=table(("what", "figure"), figures),
        outcomes=table(("outcome", "cells"), sums.outcomes().most_common()),
        by_write=table(
            ("form", "call that is struck", "cells", "adopted", "sent again", "duplicates", "lost", "unexplained"),
            by_write,
        ),
        points=table(("point", "where"), ((f"`{point}`", text) for point, text in POINTS.items())),
        faults=table(("fault", "what"), ((f"`{fault}`", text) for fault, text in FAULTS.items())),
        played=table(
            ("fault", *map(str, Point)),
            ((f"`{fault}`", *(_count(played, point, fault) for point in Point)) for fault in Fault),
        ),
        reasons=table(("reason", "cells"), sums.reasons().most_common()),
    )


def _zeros(results: Iterable[object]) -> tuple[int, ...]:
    results = list(results)
    return tuple(sum(getattr(each, what) for each in results) for what in ("duplicates", "lost", "unexplained"))


def _count(played: Counter[tuple[Point, Fault]], point: Point, fault: Fault) -> str:
    return "-" if isinstance(STRIKES[point][fault], str) else str(played[point, fault])
