"""A sample of the crash grid: every form of every kind, every strike at least once; ``make reliability`` plays it all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.grid import STRIKES, Cell, Fault, Point, Strike, cells, named
from marketplace_returns_tests.reliability.run import told, tried
from marketplace_returns_tests.reliability.stage import Stage
from marketplace_returns_tests.reliability.worker import Workers
from marketplace_returns_tests.reliability.writes import WRITES


def sample() -> list[Cell]:
    """Give each strike to the form that has the fewest so far, so that both axes are covered with the fewest cells."""
    taken: Counter[str] = Counter()
    chosen = []
    for point in Point:
        for fault in Fault:
            fitting = [cell for cell in _at(point, fault) if isinstance(cell.strike, Strike)]
            if fitting:
                cell = min(fitting, key=lambda each: taken[each.write.name])
                taken[cell.write.name] += 1
                chosen.append(cell)
    return sorted(chosen, key=lambda cell: WRITES.index(cell.write))


def _at(point: Point, fault: Fault) -> list[Cell]:
    return [Cell(write, point, fault) for write in WRITES]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as opened:
        yield opened


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    started = Workers()
    yield started
    started.close()


@pytest.mark.played
@pytest.mark.proves("R39", "R48")
@pytest.mark.parametrize("cell", sample(), ids=lambda cell: cell.name)
def test_a_struck_write_is_neither_lost_nor_doubled_nor_unexplained(cell: Cell, stage: Stage, workers: Workers) -> None:
    result = tried(cell, stage, workers)
    assert not result.failures, told(result)


def test_the_sample_has_every_form_and_every_strike() -> None:
    chosen = sample()
    assert {cell.write.name for cell in chosen} == {write.name for write in WRITES}
    strikes = {(point, fault) for point in Point for fault in Fault if isinstance(STRIKES[point][fault], Strike)}
    assert {(cell.point, cell.fault) for cell in chosen} == strikes


def test_the_grid_has_every_kind_and_says_why_a_cell_makes_no_sense() -> None:
    assert {write.kind for write in WRITES} == set(WriteKind)
    found = list(cells())
    assert len(found) == len({cell.name for cell in found}) == len(WRITES) * len(Point) * len(Fault)
    assert all(cell.strike for cell in found), "an empty reason is none"
    assert named("refund/P4/reset") == [
        Cell(next(w for w in WRITES if w.name == "refund"), Point("P4"), Fault("reset"))
    ]
    assert len(named("refund")) == len(Point) * len(Fault)


def test_the_page_is_of_this_grid() -> None:
    text = page.section("grid")
    found = list(cells())
    played = [cell for cell in found if isinstance(cell.strike, Strike)]
    assert f"| cells with the further forms | {len(found)} |" in text
    assert f"| of these played | {len(played)} |" in text
    assert all(re.search(rf"\| \*\*{what}\*\* \| 0 \|", text) for what in ("duplicates", "lost", "unexplained"))
