"""A sample of the simulator: a few small seeds; ``make reliability`` plays a thousand of 200 orders each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketplace_returns_tests.reliability.simulation.installation import Workshop
from marketplace_returns_tests.reliability.simulation.play import Play, Result
from marketplace_returns_tests.reliability.simulation.sums import told

FEW_ORDERS = 12


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def first(workshop: Workshop) -> Result:
    return played(3, workshop)


def played(seed: int, workshop: Workshop) -> Result:
    return Play(seed, workshop, orders=FEW_ORDERS).run()


@pytest.mark.proves("R39", "R48")
def test_a_seed_doubles_nothing_and_loses_nothing(first: Result) -> None:
    assert not first.failures, told(first, "this one")
    assert first.refunds > 0
    assert first.unknown > 0


def test_a_seed_gives_the_same_run_again_and_another_seed_another(first: Result, workshop: Workshop) -> None:
    again = played(3, workshop)
    assert (again.trace, again.ledger) == (first.trace, first.ledger)
    other = played(4, workshop)
    assert not other.failures, told(other, "this one")
    assert other.trace != first.trace
    assert other.ledger != first.ledger
