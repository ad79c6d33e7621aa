"""Confirming a despatch: the whole order (OR23, then OR24) or one parcel (ST01), as the body's ``mode`` says.

The invariant: a parcel is confirmed once. ST01 has no key of its own, so the parcel's number goes along as package
reference and is what read-backs look for; OR24 moves a state and is refused by nature when it is done already (R71, R85).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.ledger.executors import forms
from marketplace_returns.ledger.executors.orders import NOT_SHIPPED, Row, look_at_refused, orders_now
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Confirmed,
    Conflicting,
    Found,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    Unknown,
    send_each,
)
from marketplace_returns.sources.mirakl.results import ItemState

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.mirakl.client import MiraklClient


class ConfirmDespatch:
    """Sends OR23 and OR24, or ST01."""

    batch_size: Final = 50

    def __init__(self, mirakl: MiraklClient) -> None:
        self._mirakl = mirakl

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let orders go; look for parcels that the marketplace shows already (ST11)."""
        shipments = self._shipments([intent for intent in intents if _is_parcel(intent)])
        prepared: dict[str, Preparation] = {}
        for intent in intents:
            shown = shipments.get(intent.order_id, [])
            known = _parcel_among(intent, shown) if _is_parcel(intent) else None
            prepared[intent.intent_id] = (
                AlreadyDone(known["id"], "the marketplace shows this parcel already")
                if known
                else Ready({"shipment_ids": [row["id"] for row in shown]})
            )
        return prepared

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Confirm each despatch; refused whole orders are looked at once for all."""
        outcomes = send_each(intents, self._confirm, may_start)
        whole = [intent for intent in intents if not _is_parcel(intent)]
        return look_at_refused(
            whole, outcomes, lambda some: orders_now(self._mirakl, some), _is_shipped, lambda each: each.order_id
        )

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the orders are shipped, or the parcels shown."""
        whole = [intent for intent in intents if not _is_parcel(intent)]
        parcels = [intent for intent in intents if _is_parcel(intent)]
        orders = orders_now(self._mirakl, whole) if whole else {}
        shipments = self._shipments(parcels)
        seen: dict[str, ReadBack] = {
            intent.intent_id: _seen_order(intent, orders.get(intent.order_id)) for intent in whole
        }
        for intent in parcels:
            known = _parcel_among(intent, shipments.get(intent.order_id, []))
            seen[intent.intent_id] = Found(known["id"]) if known else Absent()
        return seen

    def _confirm(self, intent: Intent) -> Outcome:
        if _is_parcel(intent):
            return self._create_shipment(intent)
        self._mirakl.set_tracking(intent.order_id, **intent.body["tracking"])
        self._mirakl.ship_order(intent.order_id)
        return Confirmed(intent.order_id)

    def _create_shipment(self, intent: Intent) -> Outcome:
        tracking = dict(intent.body["tracking"])
        if url := tracking.pop("carrier_url", ""):
            tracking["tracking_url"] = url
        shipment = {
            "order_id": intent.order_id,
            "shipment_lines": intent.body["shipment_lines"],
            "tracking": tracking,
            "shipped": True,
        }
        made = self._mirakl.create_shipments([shipment])[intent.order_id]
        match made.state:
            case ItemState.DONE:
                return Confirmed(str(made.row.get("id", "")))
            case ItemState.REFUSED:
                return Rejected("ST01", made.message)
            case ItemState.UNCLEAR:
                return Unknown("ST01 did not say what came of this parcel")

    def _shipments(self, intents: Sequence[Intent]) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        if intents:
            for page in self._mirakl.shipments(sorted({intent.order_id for intent in intents})):
                for row in forms.sound(page, forms.Shipment, "ST11"):
                    found.setdefault(row["order_id"], []).append(row)
        return found


def _is_parcel(intent: Intent) -> bool:
    return bool(intent.body["mode"] == "shipment")


def _parcel_among(intent: Intent, shown: Sequence[Row]) -> Row | None:
    """Find the parcel by what is in it and by its number; by its tracking number where the marketplace keeps no number."""
    wanted = intent.body["shipment_lines"]
    numbers = {str(line["package_reference"]) for line in wanted}
    for row in shown:
        lines = row.get("shipment_lines") or ()
        if _units(lines) != _units(wanted):
            continue
        shown_numbers = {str(line["package_reference"]) for line in lines if line.get("package_reference")}
        if shown_numbers == numbers or (not shown_numbers and _has_tracking_of(intent, row)):
            return row
    return None


def _units(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {line["order_line_id"]: int(line["quantity"]) for line in lines}


def _has_tracking_of(intent: Intent, shipment: Row) -> bool:
    number = intent.body["tracking"].get("tracking_number")
    return bool(number) and (shipment.get("tracking") or {}).get("tracking_number") == number


def _is_shipped(_intent: Intent, order: Row | None) -> bool:
    return order is not None and order["order_state"] not in NOT_SHIPPED | {"REFUSED", "CANCELED"}


def _seen_order(intent: Intent, order: Row | None) -> ReadBack:
    if not _is_shipped(intent, order) or order is None:
        return Absent()
    tracking = intent.body["tracking"].get("tracking_number", "")
    if tracking and (order.get("shipping_tracking") or "") not in {"", tracking}:
        return Conflicting(f"the order is {order['order_state']} with another tracking number")
    return Found(intent.order_id)
