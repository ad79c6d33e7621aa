"""A person refunds by hand while our refund of the same money is anywhere on its way: the customer is paid once (R48)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.executors.refund import READ_IS_FRESH
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import Outcome
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.mirakl.client import MiraklClient
from marketplace_returns_tests.ledger.sandboxed import Place, place, refund

POINTS = (
    "before the plan",
    "before the pre-read",
    "between pre-read and send",
    "reply lost and applied",
    "request lost, before the read-back",
    "request lost, before the second try",
    "after our refund",
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("by_hand"), orders=40, days=1) as here:
        here.unused = iter(here.shipping())  # type: ignore[attr-defined]
        yield here


class _Interrupted:
    """The refund's executor, with something that happens between its look and its call."""

    batch_size = 50

    def __init__(self, real: Any, meanwhile: Callable[[], object]) -> None:
        self._real = real
        self._meanwhile = meanwhile

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Any]:
        return self._real.prepare(intents)

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        self._meanwhile()
        return self._real.send(intents, may_start)

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, Any]:
        return self._real.read_back(intents)


def _settle(here: Place) -> None:
    for wait_s in (31, 90, 180, 610, 610):
        here.clock.wait(wait_s)
        here.look()
        here.send()


@pytest.mark.proves("R48")
@pytest.mark.parametrize("point", POINTS)
def test_a_refund_by_hand_at_any_point_leaves_exactly_one(here: Place, point: str) -> None:
    order = next(here.unused)  # type: ignore[attr-defined]
    ours = refund(order)
    mirakl: MiraklClient = here.clients.mirakl

    def by_hand() -> None:
        mirakl.refund(ours.body)

    if point == "before the plan":
        by_hand()
    here.plan(ours, lane=point)
    if point == "before the pre-read":
        by_hand()
    if point == "between pre-read and send":
        executors = {WriteKind.REFUND: _Interrupted(here.executors()[WriteKind.REFUND], by_hand)}
        drain(here.ledger, here.shop, executors, here.clock, worker="w1")
    elif point == "reply lost and applied":
        here.fault("reset_after", "OR28")
        here.send()
    elif point.startswith("request lost"):
        here.fault("reset", "OR28")
        here.send()
        if point.endswith("second try"):
            for wait_s in (31, 90, 180, 610):
                here.clock.wait(wait_s)
                here.look()
            assert here.intent(ours.natural_key).state is State.PLANNED, "proven not applied"
        by_hand()
    else:
        here.send()
    if point == "after our refund":
        with pytest.raises(Exception, match="exceeds"):
            by_hand()
    _settle(here)
    found = here.intent(ours.natural_key)
    refunds = here.order(order["order_id"])["order_lines"][0]["refunds"]
    assert len(refunds) == 1
    assert (found.state, found.external_ref) == (State.CONFIRMED, refunds[0]["id"])
    assert found.is_adopted is (point != "after our refund")


@pytest.mark.proves("R48", "R103")
def test_refunds_that_follow_each_other_on_an_order_leave_on_one_read_of_it(here: Place) -> None:
    order = next(here.unused)  # type: ignore[attr-defined]
    line_id = order["order_lines"][0]["order_line_id"]
    first, second = (refund(order, "0.4", key=f"{line_id}#{unit}") for unit in (1, 2))
    here.plan(first, second, lane="one read")
    sent: list[None] = []

    def lose_the_second_reply() -> None:
        sent.append(None)
        if len(sent) == 2:
            here.fault("reset_after", "OR28")

    reads = here.calls("OR11")
    executors = {WriteKind.REFUND: _Interrupted(here.executors()[WriteKind.REFUND], lose_the_second_reply)}
    drain(here.ledger, here.shop, executors, here.clock, worker="w1")
    assert (here.calls("OR11") - reads, len(sent)) == (1, 2)
    assert here.intent(first.natural_key).state is State.CONFIRMED
    assert here.intent(second.natural_key).state is State.UNKNOWN
    _settle(here)
    shown = {refund["id"] for refund in here.order(order["order_id"])["order_lines"][0]["refunds"]}
    ours = [here.intent(each.natural_key) for each in (first, second)]
    assert [each.state for each in ours] == [State.CONFIRMED] * 2
    assert {each.external_ref for each in ours} == shown, "the lost reply's refund is the one that the first is not"


@pytest.mark.proves("R48")
def test_a_read_of_an_order_serves_no_refund_later_than_seconds(here: Place) -> None:
    order = next(here.unused)  # type: ignore[attr-defined]
    line_id = order["order_lines"][0]["order_line_id"]
    first, second = (refund(order, "0.4", key=f"{line_id}#{unit}") for unit in (1, 2))
    executors = here.executors()
    here.plan(first, lane="later")
    drain(here.ledger, here.shop, executors, here.clock, worker="w1")
    here.clients.mirakl.refund(second.body)  # by hand
    here.clock.wait(READ_IS_FRESH.total_seconds() + 1)
    here.plan(first, second, lane="later")
    drain(here.ledger, here.shop, executors, here.clock, worker="w1")
    assert here.intent(second.natural_key).is_adopted
    assert len(here.order(order["order_id"])["order_lines"][0]["refunds"]) == 2
