"""Playing many seeds, side by side in as many processes as wanted, and what they add up to.

Here live the sums. Not here: one seed (play.py), the page (simulation_page.py). Invariant: a seed that broke counts as failed.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from marketplace_returns_tests.reliability.simulation.installation import Workshop
from marketplace_returns_tests.reliability.simulation.play import Play, Result

ALONE = "python -m marketplace_returns_tests.reliability simulation --seed"
ON_DUCKLAKE_EVERY = 25
"""Every so many seeds are played on a real DuckLake, which costs several times as much; the others on tables of DuckDB's own."""


@dataclass
class Sums:
    """What many seeds came to."""

    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Result]:
        """Return the seeds that did not hold."""
        return [each for each in self.results if each.failures]

    def total(self, what: str) -> int:
        """Return a figure over all seeds."""
        return sum(getattr(each, what) for each in self.results)

    def counted(self, what: str) -> Counter[str]:
        """Return counts by name over all seeds."""
        return sum((getattr(each, what) for each in self.results), Counter())

    def resolved_s(self, share: float) -> float:
        """Return within how many virtual seconds that share of the unclear writes was settled."""
        times = sorted(seconds for each in self.results for seconds in each.resolved_s)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


def is_on_ducklake(seed: int) -> bool:
    """Tell whether a seed is played on a DuckLake."""
    return seed % ON_DUCKLAKE_EVERY == 0


def tried(seed: int, workshop: Workshop) -> Result:
    """Play a seed; one that breaks has failed, and the others are still to be played."""
    play = Play(seed, workshop, is_on_ducklake=is_on_ducklake(seed))
    try:
        return play.run()
    except Exception:  # noqa: BLE001 - whatever broke it, the seed has failed
        play.result.failures.append(traceback.format_exc(limit=-6))
        return play.result


def run(seeds: Iterable[int], jobs: int, tell: Callable[[Result], None]) -> Sums:
    """Play all seeds."""
    sums, started = Sums(), time.perf_counter()
    for result in _played(list(seeds), jobs):
        sums.results.append(result)
        tell(result)
    sums.seconds = time.perf_counter() - started
    return sums


def _played(seeds: list[int], jobs: int) -> Iterator[Result]:
    if jobs == 1:
        workshop = Workshop()
        try:
            yield from (tried(seed, workshop) for seed in seeds)
        finally:
            workshop.close()
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
        yield from pool.map(_play, seeds, chunksize=1)


_workshop: list[Workshop] = []


def _begin() -> None:
    _workshop.append(Workshop())


def _play(seed: int) -> Result:
    return tried(seed, _workshop[0])


def told(result: Result, commit: str) -> str:
    """Say what failed in a seed, on which commit, and how to play it again."""
    return "\n".join([f"seed {result.seed} on commit {commit}:", *result.failures, f"again: {ALONE} {result.seed}"])
