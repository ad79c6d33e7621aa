"""What a look at an order says of a refund whose reply was lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.executors.refund import Refund
from marketplace_returns.ledger.outcomes import Absent, Ready, Unknown
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.world import NOW, SHOP, Outside, decision, open_ledger, refund, shop

ANSWER_S_MAX = 180.0


class Orders:
    """A marketplace that shows one order."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order

    def orders_by_id(self, _ids: object) -> list[list[dict[str, Any]]]:
        return [[self.order]]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


def test_an_empty_look_while_the_server_may_still_be_working_proves_nothing(tmp_path, clock: FixedClock) -> None:
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(refund()), shop())
        outside = Outside(answer=lambda _: Unknown("time-out"), before=lambda _: Ready({"refund_ids": []}))
        drain(ledger, shop(), {WriteKind.REFUND: outside}, clock, worker="w1")
        (unclear,) = ledger.intents(states=(State.UNKNOWN,))
        line = {"order_line_id": unclear.order_line_id, "price": "10.00", "refunds": []}
        order = {"order_id": unclear.order_id, "order_state": "SHIPPED", "order_lines": [line]}
        executor = Refund(Orders(order), lambda *_: [], lambda _: [], clock, answer_s_max=ANSWER_S_MAX)  # type: ignore[arg-type]
        assert executor.read_back([unclear]) == {unclear.intent_id: Absent(is_fresh=False)}
        clock.move_to(NOW + timedelta(seconds=ANSWER_S_MAX))
        assert executor.read_back([unclear]) == {unclear.intent_id: Absent(is_fresh=True)}
        assert [each.intent_id for each in ledger.spent_refunds(SHOP, [unclear.order_line_id])] == [unclear.intent_id]


def test_a_plan_made_anew_does_not_change_what_ended_unclear_before(tmp_path, clock: FixedClock) -> None:
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(refund()), shop())
        outside = Outside(answer=lambda _: Unknown("time-out"), shown=lambda _: Absent())
        drain(ledger, shop(), {WriteKind.REFUND: outside}, clock, worker="w1")
        (sent,) = ledger.intents()
        for _ in range(2):
            clock.wait(3600)
            due = ledger.read_backs_due(SHOP, WriteKind.REFUND, worker="w1", limit=10)
            ledger.settle_read_backs(due, {each.intent_id: Absent() for each in due})
        (planned,) = ledger.intents(states=(State.PLANNED,))
        ledger.apply(decision(refund(body={"note": "other"})), shop())
        (kept,) = ledger.intents()
        assert kept.body == planned.body == sent.body
