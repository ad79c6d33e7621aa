"""Announcing a return to the warehouse, changing what was announced, or taking it back (Peoplevox SaveData).

A returns purchase order is an upsert by its number. The invariant: one that is there with all its lines is not saved again,
one saved by half is made whole, another one under its number is a conflict, and a closed or cancelled one is not opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.errors import SourceError
from marketplace_returns.ledger.executors.held_orders import Held, held, is_cancelled, shown
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Blocked,
    Confirmed,
    Conflicting,
    Found,
    NotSent,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    outcome_of,
)
from marketplace_returns.sources.peoplevox.orders import PurchaseOrder, PurchaseOrderItem, Refused, Saved

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.peoplevox.client import PeoplevoxClient


Row = Mapping[str, Any]


class CreateExpectedReceipt:
    """Saves, changes or cancels purchase orders, up to a hundred in two calls."""

    batch_size: Final = 100

    def __init__(self, peoplevox: PeoplevoxClient) -> None:
        self._peoplevox = peoplevox

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let first announcements go; before anything else look what stands under the number."""
        looked_at = [intent for intent in intents if intent.attempt_count or _action(intent)]
        there = self._there(looked_at) if looked_at else {}
        return {intent.intent_id: _preparation(intent, there.get(_number(intent))) for intent in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Save all purchase orders together, and cancel together; every one gets an outcome of its own."""
        cancelled = [intent for intent in intents if _action(intent) == "cancel"]
        saved = [intent for intent in intents if _action(intent) != "cancel"]
        outcomes: dict[str, Outcome] = {}
        for some, write in ((cancelled, self._cancel), (saved, self._save)):
            if not some:
                continue
            if not may_start():
                outcomes |= {
                    intent.intent_id: NotSent("the batch was stopped before this write began", 0.0) for intent in some
                }
                continue
            try:
                results = write(some)
            except SourceError as error:
                outcomes |= {intent.intent_id: outcome_of(error) for intent in some}
                continue
            for intent in some:
                result = results[_number(intent)]
                outcomes[intent.intent_id] = (
                    Rejected("SaveData", result.text) if isinstance(result, Refused) else Confirmed(_number(intent))
                )
        return outcomes

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the warehouse shows the purchase orders with all their lines, or cancelled."""
        there = self._there(intents)
        return {intent.intent_id: _seen(intent, there.get(_number(intent))) for intent in intents}

    def _save(self, intents: Sequence[Intent]) -> Mapping[str, Saved | Refused]:
        return self._peoplevox.save_purchase_orders([_purchase_order(intent) for intent in intents])

    def _cancel(self, intents: Sequence[Intent]) -> Mapping[str, Saved | Refused]:
        return self._peoplevox.cancel_purchase_orders([_number(intent) for intent in intents])

    def _there(self, intents: Sequence[Intent]) -> dict[str, Row]:
        found = self._peoplevox.whole_purchase_orders(sorted({_number(intent) for intent in intents}))
        return {row["purchase_order_number"]: row for row in found}


def _preparation(intent: Intent, found: Row | None) -> Preparation:
    number = _number(intent)
    if _action(intent) == "cancel":
        is_gone = found is None or is_cancelled(found)
        return AlreadyDone(number, "the warehouse expects it no more") if is_gone else Ready()
    match held(found, intent.body["items"]):
        case Held.SAME:
            return AlreadyDone(number, "the warehouse has it already")
        case Held.CANCELLED:
            return Blocked(
                "ASN_MISSING", f"{number} is cancelled in the warehouse; it is not opened again by an import"
            )
        case Held.OTHER if found is not None and _action(intent) != "change":
            return Blocked("ASN_MISSING", _other(found), "validation")
    return Ready()


def _seen(intent: Intent, found: Row | None) -> ReadBack:
    number = _number(intent)
    if _action(intent) == "cancel":
        return Found(number) if found is None or is_cancelled(found) else Absent()
    match held(found, intent.body["items"]):
        case Held.SAME:
            return Found(number)
        case Held.CANCELLED:
            return Conflicting(f"{number} is cancelled in the warehouse")
        case Held.OTHER if found is not None and _action(intent) != "change":
            return Conflicting(_other(found))
    return Absent()


def _other(found: Row) -> str:
    return f"the warehouse has another purchase order under this number ({shown(found)}); nothing was saved"


def _action(intent: Intent) -> str:
    return str(intent.body.get("action", ""))


def _number(intent: Intent) -> str:
    return str(intent.body["purchase_order_number"])


def _purchase_order(intent: Intent) -> PurchaseOrder:
    return PurchaseOrder(
        number=_number(intent),
        items=tuple(
            PurchaseOrderItem(
                line=str(item["line"]),
                item_code=item["item_code"],
                quantity=item["quantity"],
                status=item.get("status", "Pending"),
            )
            for item in intent.body["items"]
        ),
        reference=str(intent.body.get("reference", "")),
    )
