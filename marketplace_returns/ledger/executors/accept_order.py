"""Accepting an order (OR21): every line decided, once. Promise: an order that is accepted already counts as accepted.

The invariant: a refusal is only final after the order itself was looked at (R14, R15, G11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from marketplace_returns.ledger.executors.orders import (
    ENDED_UNSHIPPED,
    NOT_DECIDED,
    Row,
    look_at_refused,
    orders_now,
)
from marketplace_returns.ledger.outcomes import (
    Absent,
    Confirmed,
    Conflicting,
    Found,
    Outcome,
    ReadBack,
    Ready,
    send_each,
)

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.mirakl.client import MiraklClient


class AcceptOrder:
    """Sends OR21."""

    batch_size: Final = 50

    def __init__(self, mirakl: MiraklClient) -> None:
        self._mirakl = mirakl

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Ready]:
        """Let all go: the marketplace itself refuses a second decision."""
        return {intent.intent_id: Ready() for intent in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Accept each order; what was refused is looked at once for all."""
        outcomes = send_each(intents, self._accept, may_start)
        return look_at_refused(
            intents, outcomes, lambda some: orders_now(self._mirakl, some), _is_accepted, lambda each: each.order_id
        )

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the orders are decided by now."""
        orders = orders_now(self._mirakl, intents)
        return {intent.intent_id: _seen(orders.get(intent.order_id)) for intent in intents}

    def _accept(self, intent: Intent) -> Outcome:
        self._mirakl.accept_order(intent.order_id, intent.body["order_lines"])
        return Confirmed(intent.order_id)


def _is_accepted(_intent: Intent, order: Row | None) -> bool:
    return order is not None and order["order_state"] not in NOT_DECIDED | ENDED_UNSHIPPED


def _seen(order: Row | None) -> ReadBack:
    if order is None or order["order_state"] in NOT_DECIDED:
        return Absent()
    if order["order_state"] in ENDED_UNSHIPPED:
        return Conflicting(f"the order is {order['order_state']}")
    return Found(order["order_id"])
