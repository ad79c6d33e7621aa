"""Additions to stock (C6): once each, whatever becomes of the reply."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.sandboxed import Place, place, plan


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A world whose customers have stopped ordering, so that only we move its stock."""
    with place(tmp_path_factory.mktemp("additions"), orders=20, days=1) as here:
        here.sandbox.advance(timedelta(days=3))
        yield here


def offered(here: Place) -> dict[str, int]:
    return {row["shop_sku"]: row["quantity"] for page in here.clients.mirakl.offers() for row in page}


def add(here: Place, sku: str, *events: str) -> None:
    plans = [plan(WriteKind.PUSH_STOCK, f"delta:{event}", {"offer_sku": sku, "delta": 1}) for event in events]
    here.plan(*plans, lane=f"restock {sku}")


def states(here: Place, *events: str) -> list[State]:
    return [here.intent(f"delta:{event}").state for event in events]


@pytest.mark.proves("C6")
def test_additions_to_one_offer_leave_as_one_figure_and_never_replace_each_other(here: Place) -> None:
    before = offered(here)
    sku, other = sorted(before)[:2]
    add(here, sku, "e1", "e2", "e3")
    add(here, other, "e4")
    here.send()
    assert states(here, "e1", "e2", "e3", "e4") == [State.CONFIRMED] * 4
    after = offered(here)
    assert (after[sku], after[other]) == (before[sku] + 3, before[other] + 1)
    here.send()
    assert offered(here) == after
    add(here, sku, "e1", "e2", "e3")
    here.send()
    assert offered(here) == after, "the same event again adds nothing"


@pytest.mark.proves("C6", "R48")
@pytest.mark.parametrize("fault", ["reset_after", "http_500_after"])
def test_an_addition_whose_reply_was_lost_is_adopted_not_added_again(here: Place, fault: str) -> None:
    before = offered(here)
    sku = sorted(before)[2]
    here.fault(fault, "STO01")
    add(here, sku, f"lost {fault}")
    here.send()
    assert states(here, f"lost {fault}") == [State.UNKNOWN]
    here.clock.wait(31)
    here.look()
    found = here.intent(f"delta:lost {fault}")
    assert (found.state, found.is_adopted, found.attempt_count) == (State.CONFIRMED, True, 1)
    assert offered(here)[sku] == before[sku] + 1


@pytest.mark.proves("C6", "R48")
def test_an_addition_that_never_arrived_is_sent_again_after_two_reads_and_holds_the_next(here: Place) -> None:
    before = offered(here)
    sku = sorted(before)[3]
    here.fault("reset", "STO01")
    add(here, sku, "unarrived")
    here.send()
    here.plan(plan(WriteKind.PUSH_STOCK, "delta:next", {"offer_sku": sku, "delta": 1}), lane="next")
    here.clock.wait(31)
    here.look()
    here.send()
    assert states(here, "unarrived", "next") == [State.UNKNOWN, State.PLANNED], "one empty read proves nothing"
    for _ in range(4):
        here.clock.wait(610)
        here.look()
        here.send()
    assert states(here, "unarrived", "next") == [State.CONFIRMED, State.CONFIRMED]
    assert here.intent("delta:unarrived").attempt_count == 2
    assert offered(here)[sku] == before[sku] + 2


@pytest.mark.proves("C6")
def test_an_unclear_addition_that_the_figures_do_not_explain_waits_for_a_person(here: Place) -> None:
    sku = sorted(offered(here))[4]
    here.fault("reset_after", "STO01")
    add(here, sku, "moved")
    here.send()
    here.clock.wait(31)
    here.sandbox.do(lambda: here.sandbox.world.offers.set_quantity(sku, 0))  # nobody's order explains this
    here.look()
    assert states(here, "moved") == [State.CONFLICT]
    assert "STOCK_REJECTED" in here.exception_types()
