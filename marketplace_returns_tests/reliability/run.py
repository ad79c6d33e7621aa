"""Playing many cells one after another, and what their results add up to.

Here live the run of the grid and its sums. Not here: one cell (cell.py), the page (page.py). Invariant: a cell that broke
counts as failed; nothing that was to be played is left out of the sums.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from marketplace_returns_tests.reliability.cell import Result, play
from marketplace_returns_tests.reliability.grid import Cell
from marketplace_returns_tests.reliability.stage import Stage
from marketplace_returns_tests.reliability.worker import Workers

ALONE = "python -m marketplace_returns_tests.reliability grid --only"


@dataclass
class Sums:
    """What a run of cells came to."""

    results: list[Result] = field(default_factory=list)
    senseless: list[tuple[Cell, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Result]:
        """Return the cells that did not hold."""
        return [each for each in self.results if each.failures]

    def total(self, what: str) -> int:
        """Return a figure (``duplicates``, ``lost``, ``unexplained``) over all cells."""
        return sum(getattr(each, what) for each in self.results)

    def outcomes(self) -> Counter[str]:
        """Return how many cells ended how."""
        return Counter(each.outcome for each in self.results)

    def reasons(self) -> Counter[str]:
        """Return how many cells make no sense for which reason."""
        return Counter(reason for _, reason in self.senseless)


def run(cells: Iterable[Cell], tell: Callable[[Result], None]) -> Sums:
    """Play all cells that make sense, and keep why the others make none."""
    sums, started = Sums(), time.perf_counter()
    workers = Workers()
    try:
        with Stage() as stage:
            for cell in cells:
                if isinstance(cell.strike, str):
                    sums.senseless.append((cell, cell.strike))
                    continue
                result = tried(cell, stage, workers)
                sums.results.append(result)
                tell(result)
    finally:
        workers.close()
    sums.seconds = time.perf_counter() - started
    return sums


def tried(cell: Cell, stage: Stage, workers: Workers) -> Result:
    """Play a cell; one that breaks has failed, and the run goes on."""
    try:
        return play(cell, stage, workers)
    except Exception:  # noqa: BLE001 - whatever broke it, the cell has failed and the others are still to be played
        failure = traceback.format_exc(limit=-3)
        return Result(cell, "broke", 0, 0, 0, 1, 0, 0, 0.0, failures=(failure,))


def told(result: Result) -> str:
    """Say what failed in a cell, and how to play it alone."""
    return "\n".join([f"{result.cell.name}: {result.outcome}", *result.failures, f"alone: {ALONE} {result.cell.name}"])
