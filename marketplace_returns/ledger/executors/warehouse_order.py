"""Creating the sales order in the warehouse (Peoplevox SaveData), with the address filled in only now.

The invariant: no personal data is in the intent, in an outcome or in a log; it passes from the lake to the warehouse here.
An order that is there with all its lines is not saved again (R82, R86).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

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
from marketplace_returns.sources.peoplevox.orders import Address, Refused, SalesOrder, SalesOrderItem

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.peoplevox.client import PeoplevoxClient

PersonalFields = Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]
"""Gives the personal fields of marketplace orders by order id, dotted names down to each leaf; absent where none."""

_SHIP_TO: Final = "customer.shipping_address."


class CreateWarehouseOrder:
    """Saves sales orders, up to a hundred in two calls."""

    batch_size: Final = 100

    def __init__(self, peoplevox: PeoplevoxClient, personal_fields: PersonalFields, channel: str) -> None:
        self._peoplevox = peoplevox
        self._personal_fields = personal_fields
        self._channel = channel

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Find the orders that are in the warehouse already, and those without an address."""
        there = self._there(intents)
        personal = self._personal_fields([intent.order_id for intent in intents])
        return {intent.intent_id: _preparation(intent, there, personal.get(intent.order_id, {})) for intent in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Save all orders together; every order gets an outcome of its own."""
        if not may_start():
            return {intent.intent_id: NotSent("the batch's time was over", 0.0) for intent in intents}
        personal = self._personal_fields([intent.order_id for intent in intents])
        orders = [self._sales_order(intent, personal.get(intent.order_id, {})) for intent in intents]
        try:
            saved = self._peoplevox.save_sales_orders(orders)
        except SourceError as error:
            return {intent.intent_id: outcome_of(error) for intent in intents}
        outcomes: dict[str, Outcome] = {}
        for intent in intents:
            result = saved[intent.order_id]
            outcomes[intent.intent_id] = (
                Rejected("SaveData", result.text, "validation")
                if isinstance(result, Refused)
                else Confirmed(intent.order_id)
            )
        return outcomes

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the warehouse shows the orders with all their lines."""
        there = self._there(intents)
        return {
            intent.intent_id: Found(intent.order_id) if intent.order_id in there else Absent() for intent in intents
        }

    def _there(self, intents: Sequence[Intent]) -> set[str]:
        """Return the numbers that the warehouse shows with every line; one saved by half is not among them."""
        wanted = {intent.order_id: len(intent.body["items"]) for intent in intents}
        headers = {row["sales_order_number"] for row in self._peoplevox.sales_orders(wanted)}
        if not headers:
            return set()
        lines = Counter(row["sales_order_number"] for row in self._peoplevox.sales_order_items(headers))
        return {number for number in headers if lines[number] >= wanted[number]}

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


def _preparation(intent: Intent, there: set[str], personal: Mapping[str, Any]) -> Preparation:
    if intent.order_id in there:
        return AlreadyDone(intent.order_id, "the warehouse has this order already")
    if not personal.get(f"{_SHIP_TO}street_1"):
        return Rejected(
            "no address", "the order's shipping address is not in the lake; pull the order again, then retry", "bug"
        )
    return Ready()
