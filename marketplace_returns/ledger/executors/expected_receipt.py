"""Announcing a return to the warehouse: a returns purchase order (Peoplevox SaveData), an upsert by its number.

The invariant: a purchase order that is there with all its lines is not saved again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from marketplace_returns.errors import SourceError
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Confirmed,
    Found,
    NotSent,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    outcome_of,
)
from marketplace_returns.sources.peoplevox.orders import PurchaseOrder, PurchaseOrderItem, Refused

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.peoplevox.client import PeoplevoxClient


class CreateExpectedReceipt:
    """Saves purchase orders, up to a hundred in two calls."""

    batch_size: Final = 100

    def __init__(self, peoplevox: PeoplevoxClient) -> None:
        self._peoplevox = peoplevox

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let first tries go; before a further one look whether the number is there."""
        again = [intent for intent in intents if intent.attempt_count]
        there = self._there(again) if again else set()
        return {
            intent.intent_id: AlreadyDone(_number(intent), "the warehouse has it already")
            if _number(intent) in there
            else Ready()
            for intent in intents
        }

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Save all purchase orders together; every one gets an outcome of its own."""
        if not may_start():
            return {intent.intent_id: NotSent("the batch's time was over", 0.0) for intent in intents}
        try:
            saved = self._peoplevox.save_purchase_orders([_purchase_order(intent) for intent in intents])
        except SourceError as error:
            return {intent.intent_id: outcome_of(error) for intent in intents}
        outcomes: dict[str, Outcome] = {}
        for intent in intents:
            result = saved[_number(intent)]
            outcomes[intent.intent_id] = (
                Rejected("SaveData", result.text) if isinstance(result, Refused) else Confirmed(_number(intent))
            )
        return outcomes

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the warehouse shows the purchase orders with all their lines."""
        there = self._there(intents)
        return {
            intent.intent_id: Found(_number(intent)) if _number(intent) in there else Absent() for intent in intents
        }

    def _there(self, intents: Sequence[Intent]) -> set[str]:
        wanted = {_number(intent): len(intent.body["items"]) for intent in intents}
        headers = {row["purchase_order_number"] for row in self._peoplevox.purchase_orders(wanted)}
        if not headers:
            return set()
        lines = Counter(row["purchase_order_number"] for row in self._peoplevox.purchase_order_items(headers))
        return {number for number in headers if lines[number] >= wanted[number]}


def _number(intent: Intent) -> str:
    return str(intent.body["purchase_order_number"])


def _purchase_order(intent: Intent) -> PurchaseOrder:
    return PurchaseOrder(
        number=_number(intent),
        items=tuple(
            PurchaseOrderItem(line=str(item["line"]), item_code=item["item_code"], quantity=item["quantity"])
            for item in intent.body["items"]
        ),
        reference=str(intent.body.get("reference", "")),
    )
