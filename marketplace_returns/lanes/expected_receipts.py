"""Promise: the warehouse expects every parcel before it comes, as it is announced now (R52, R90).

Plans one returns purchase order per parcel, numbered ``RTN-<return id>``: each partial return, and each exchange or
replacement that only the returns platform knows. A return whose units change has its order changed, one that is cancelled
has it cancelled, both only while nothing was booked against it. A parcel that arrived with no expected receipt is an
exception (blind receiving).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop, WarehouseSettings

LANE = "expected_receipts"
LINKED_WITHIN = timedelta(minutes=30)
"""So long after a return was made on the platform, its link to the marketplace's return may still be on its way."""

Item = dict[str, Any]


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan what the warehouse is to be told of each parcel: that it comes, what changed of it, that it does not come."""
    if shop.warehouse is None:
        return LaneDecision(lane=LANE, shop=shop.name, intents=(), exceptions=(), considered=0)
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    found = rows(con, LANE, shop=shop.name, settled_before=now - LINKED_WITHIN)
    parcels = [list(group) for _, group in groupby(found, key=lambda row: str(row["parcel_id"]))]
    for items in parcels:
        parcel = items[0]
        if parcel["purchase_order_number"] is None:
            has_arrived = parcel["inspected_units"] > 0 or parcel["platform_received_at"] is not None
            if has_arrived and shop.warehouse.read == "api":  # purchase orders that are not read are not missing
                exceptions.append(_blind(shop, parcel))
            if parcel["is_wanted"] and parcel["inspected_units"] < max(parcel["units"], 1):
                intents.append(_announcement(shop, items, mappings.version))
        elif parcel["is_void"]:
            if not parcel["inspected_units"]:
                intents.append(_cancellation(shop, items, mappings.version))
        elif parcel["is_wanted"] and not parcel["inspected_units"] and _has_changed(shop.warehouse, items):
            intents.append(_change(shop, items, mappings.version))
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(parcels)
    )


def _has_changed(warehouse: WarehouseSettings, items: list[Item]) -> bool:
    """Tell whether a return announces other units than its order; unknown where the order's lines were not read.

    Where they are read, an order without any was saved by half.
    """
    unread = 0 if warehouse.read == "api" else None
    announced = [unread if item["announced"] is None else item["announced"] for item in items]
    return any(units is not None and units != item["wanted"] for units, item in zip(announced, items, strict=True))


def _announcement(shop: Shop, items: list[Item], mapping_version: str) -> IntentPlan:
    lines = [
        {"line": str(place), "item_code": item["item_code"], "quantity": item["wanted"]}
        for place, item in enumerate(items, start=1)
    ]
    return _plan(shop, items[0], items[0]["parcel_id"], {"items": lines}, mapping_version)


def _change(shop: Shop, items: list[Item], mapping_version: str) -> IntentPlan:
    """Plan the order's lines anew: the first line of an item has all its units, lines that are not wanted are closed.

    Keyed by when the difference was seen, for 2, 1, 2 are three announcements.
    """
    next_line = 1 + max(
        (int(line["line"]) for item in items for line in item["lines"] if line["line"].isdigit()), default=0
    )
    lines: list[Item] = []
    for item in items:
        there = item["lines"] or [{"line": str(next_line), "quantity": item["wanted"]}]
        next_line += not item["lines"]
        for place, line in enumerate(there):
            is_open = place == 0 and item["wanted"] > 0
            told = {
                "line": line["line"],
                "item_code": item["item_code"],
                "quantity": line["quantity"],
                "status": "Closed",
            }
            lines.append({**told, "quantity": item["wanted"], "status": "Pending"} if is_open else told)
    key = f"{items[0]['parcel_id']}@{items[0]['seen_at'].isoformat()}"
    return _plan(shop, items[0], key, {"action": "change", "items": lines}, mapping_version)


def _cancellation(shop: Shop, items: list[Item], mapping_version: str) -> IntentPlan:
    return _plan(shop, items[0], f"{items[0]['parcel_id']}/cancel", {"action": "cancel", "items": []}, mapping_version)


def _plan(shop: Shop, parcel: Item, key: str, body: dict[str, Any], mapping_version: str) -> IntentPlan:
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.CREATE_EXPECTED_RECEIPT,
        natural_key=key,
        order_id=parcel["order_id"],
        return_id=parcel["return_id"] or "",
        body={
            "purchase_order_number": f"RTN-{parcel['parcel_id']}",
            "reference": parcel["order_id"],
            "requested_at": parcel["created_at"].isoformat(),
            **body,
        },
        evidence={"return_payload": parcel["payload_hash"], "mapping_version": mapping_version},
    )


def _blind(shop: Shop, parcel: Item) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type="ASN_MISSING",
        entity={"order_id": parcel["order_id"], "parcel_id": parcel["parcel_id"]},
        cause="received blind",
        message=f"The parcel of return {parcel['parcel_id']} (order {parcel['order_id']}) arrived and the warehouse had no expected "
        f"receipt RTN-{parcel['parcel_id']}. See why it was not announced; the receipt itself counts.",
        root_cause="validation",
    )
