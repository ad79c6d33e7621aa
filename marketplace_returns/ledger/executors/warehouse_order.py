"""Creating the sales order in the warehouse, or cancelling it there (Peoplevox SaveData); the address is filled in only now.

The invariant: no personal data is in the intent, in an outcome or in a log; it passes from the lake to the warehouse here.
An order that is there with all its lines is not saved again, one saved by half is made whole, and another one under its
number is a conflict (R82, R86). An order of which something has left is not cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from decimal import Decimal
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
from marketplace_returns.sources.peoplevox.orders import Address, Refused, SalesOrder, SalesOrderItem, Saved

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.peoplevox.client import PeoplevoxClient

PersonalFields = Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]
"""Gives the personal fields of marketplace orders by order id, dotted names down to each leaf; absent where none."""

Row = Mapping[str, Any]

_SHIP_TO: Final = "customer.shipping_address."


class CreateWarehouseOrder:
    """Saves or cancels sales orders, up to a hundred in two calls."""

    batch_size: Final = 100

    def __init__(self, peoplevox: PeoplevoxClient, personal_fields: PersonalFields, channel: str) -> None:
        self._peoplevox = peoplevox
        self._personal_fields = personal_fields
        self._channel = channel

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Find the orders that are in the warehouse already, those without an address, and those that have left."""
        there = self._there(intents)
        leaving = [intent.order_id for intent in intents if _is_cancellation(intent) and intent.order_id in there]
        left = {row["sales_order_number"] for page in self._peoplevox.despatches_of(leaving) for row in page}
        personal = self._personal_fields([intent.order_id for intent in intents])
        return {
            intent.intent_id: _cancellation_preparation(intent, there.get(intent.order_id), left)
            if _is_cancellation(intent)
            else _preparation(intent, there.get(intent.order_id), personal.get(intent.order_id, {}))
            for intent in intents
        }

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Save all orders together, and cancel together; every order gets an outcome of its own."""
        cancelled = [intent for intent in intents if _is_cancellation(intent)]
        new = [intent for intent in intents if not _is_cancellation(intent)]
        return {**self._cancel(cancelled, may_start), **self._create(new, may_start)}

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the warehouse shows the orders with all their lines, or cancelled."""
        there = self._there(intents)
        return {intent.intent_id: _seen(intent, there.get(intent.order_id)) for intent in intents}

    def _create(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> dict[str, Outcome]:
        if not intents:
            return {}
        if not may_start():
            return {
                intent.intent_id: NotSent("the batch was stopped before this write began", 0.0) for intent in intents
            }
        personal = self._personal_fields([intent.order_id for intent in intents])
        orders = [self._sales_order(intent, personal.get(intent.order_id, {})) for intent in intents]
        try:
            saved = self._peoplevox.save_sales_orders(orders)
        except SourceError as error:
            return {intent.intent_id: outcome_of(error) for intent in intents}
        return {intent.intent_id: _saved(intent, saved[intent.order_id]) for intent in intents}

    def _cancel(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> dict[str, Outcome]:
        if not intents:
            return {}
        if not may_start():
            return {
                intent.intent_id: NotSent("the batch was stopped before this write began", 0.0) for intent in intents
            }
        try:
            saved = self._peoplevox.cancel_sales_orders([intent.order_id for intent in intents])
        except SourceError as error:
            return {intent.intent_id: outcome_of(error) for intent in intents}
        return {
            intent.intent_id: Rejected("SaveData", result.text, "validation", "CANCEL_RACE")
            if isinstance(result := saved[intent.order_id], Refused)
            else Confirmed(intent.order_id)
            for intent in intents
        }

    def _there(self, intents: Sequence[Intent]) -> dict[str, Row]:
        """Return the orders that the warehouse shows under our numbers, each with its lines."""
        found = self._peoplevox.whole_sales_orders(sorted({intent.order_id for intent in intents}))
        return {row["sales_order_number"]: row for row in found}

    def _sales_order(self, intent: Intent, personal: Mapping[str, Any]) -> SalesOrder:
        body = intent.body

        def part(name: str) -> str:
            return str(personal.get(_SHIP_TO + name) or "")

        return SalesOrder(
            number=intent.order_id,
            items=tuple(
                SalesOrderItem(
                    line=str(item["line"]),
                    item_code=item["item_code"],
                    quantity=item["quantity"],
                    sale_price=Decimal(item["sale_price"]),
                )
                for item in body["items"]
            ),
            contact_name=f"{part('firstname')} {part('lastname')}".strip(),
            email=str(personal.get("customer_notification_email") or ""),
            ship_to=Address(
                line_1=part("street_1"),
                line_2=part("street_2"),
                city=part("city"),
                region=part("state"),
                postcode=part("zip_code"),
                country=part("country_iso_code") or part("country"),
            ),
            service_type=body.get("service_type", ""),
            channel_name=self._channel,
            created_at=datetime.fromisoformat(body["created_at"]),
        )


def _is_cancellation(intent: Intent) -> bool:
    return bool(intent.body.get("action") == "cancel")


def _saved(intent: Intent, result: Saved | Refused) -> Outcome:
    if isinstance(result, Saved):
        return Confirmed(intent.order_id)
    half = "; the rest of the order is in the warehouse and may be picked" if result.is_header_saved else ""
    return Rejected("SaveData", result.text + half, "validation")


def _preparation(intent: Intent, found: Row | None, personal: Mapping[str, Any]) -> Preparation:
    match held(found, intent.body["items"]):
        case Held.SAME:
            return AlreadyDone(intent.order_id, "the warehouse has this order already")
        case Held.OTHER | Held.CANCELLED as state if found is not None:
            return Blocked("WMS_ORDER_FAILED", _other(found, state), "validation")
    if not personal.get(f"{_SHIP_TO}street_1"):
        return Rejected(
            "no address", "the order's shipping address is not in the lake; pull the order again, then retry", "bug"
        )
    return Ready()


def _cancellation_preparation(intent: Intent, found: Row | None, left: Set[str]) -> Preparation:
    if found is None or is_cancelled(found):
        return AlreadyDone(intent.order_id, "the warehouse holds no such open order")
    if intent.order_id in left:
        return Blocked("CANCEL_RACE", "it has left the warehouse; have the parcel intercepted or expect it back")
    return Ready()


def _seen(intent: Intent, found: Row | None) -> ReadBack:
    if _is_cancellation(intent):
        return Found(intent.order_id) if found is None or is_cancelled(found) else Absent()
    match held(found, intent.body["items"]):
        case Held.SAME:
            return Found(intent.order_id)
        case Held.OTHER | Held.CANCELLED as state if found is not None:
            return Conflicting(_other(found, state))
    return Absent()


def _other(found: Row, state: Held) -> str:
    if state is Held.CANCELLED:
        return "the warehouse has this order as cancelled; it is not opened again by an import"
    return f"the warehouse has another order under this number ({shown(found)}); nothing was saved"
