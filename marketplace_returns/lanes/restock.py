"""Promise: without a warehouse's figure, a returned unit found sellable is added to its offer once (C6, R11, R32, R68).

Under ``returns_delta`` it plans one addition per received unit, known by its receipt event, so that the same event never counts
twice. The offer is that of the item that came; damaged, wrong and missing units add nothing. What was inspected long before we
saw it may be counted already: it is told, not added. Under ``wms_absolute`` it plans nothing (lane ``stock`` does).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.lanes.plan import DELTA_KEY, ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "restock"
OLD_AFTER: Final = timedelta(hours=72)
"""A receipt first seen this long after its inspection (a first start, a long stand-still) is not added by itself."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the addition of every returned sellable unit to its offer (STO01)."""
    del now
    if shop.policy.stock_authority != "returns_delta":
        return LaneDecision(lane=LANE, shop=shop.name, intents=(), exceptions=(), considered=0)
    units = rows(con, LANE, shop=shop.name, old_after_s=int(OLD_AFTER.total_seconds()))
    old = [unit for unit in units if unit["is_old"]]
    exceptions: list[ExceptionPlan] = [_old(shop, old)] if old else []
    intents: list[IntentPlan] = []
    for unit in units:
        if unit["is_old"]:
            continue
        if unit["offers"] == 1:
            intents.append(_addition(shop, unit, mappings.version))
        else:
            exceptions.append(_no_offer(shop, unit))
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(units)
    )


def _addition(shop: Shop, unit: dict[str, Any], mapping_version: str) -> IntentPlan:
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.PUSH_STOCK,
        natural_key=f"{DELTA_KEY}{unit['receipt_event_id']}#{unit['unit_no']}",
        order_id=unit["order_id"],
        return_id=unit["return_id"],
        return_unit_id=unit["return_unit_id"],
        body={"offer_sku": unit["offer_sku"], "delta": 1},
        evidence={
            "receipt_event_id": unit["receipt_event_id"],
            "item_code": unit["item_code"],
            "disposition_word": f"{unit['source_system']} {unit['source_code']}",
            "inspected_at": unit["inspected_at"].isoformat(),
            "receipt_payload": unit["payload_hash"],
            "mapping_version": mapping_version,
        },
    )


def _no_offer(shop: Shop, unit: dict[str, Any]) -> ExceptionPlan:
    found = "no offer sells" if unit["offers"] == 0 else f"{unit['offers']} offers sell"
    return ExceptionPlan(
        shop=shop.name,
        type="SKU_UNMAPPED",
        entity={"receipt_event_id": unit["receipt_event_id"], "item_code": unit["item_code"]},
        cause="no offer" if unit["offers"] == 0 else "several offers",
        message=f"Receipt {unit['receipt_event_id']}: {found} item {unit['item_code']}, so its sellable unit is added to none. Make "
        "skus.csv name exactly one offer for the item; it is added at the next pass.",
        root_cause="mapping",
    )


def _old(shop: Shop, units: list[dict[str, Any]]) -> ExceptionPlan:
    events = sorted({unit["receipt_event_id"] for unit in units})
    return ExceptionPlan(
        shop=shop.name,
        type="STOCK_DRIFT",
        entity={"shop": shop.name},
        cause="receipts seen late",
        message=f"{len(units)} sellable unit(s) inspected from {units[0]['inspected_at']:%Y-%m-%d} to "
        f"{units[-1]['inspected_at']:%Y-%m-%d} were first seen more than {OLD_AFTER.total_seconds() / 3600:.0f} h later. They are not "
        "added to their offers, for they may be counted already: compare the offers with the shelf and set them by hand.",
        evidence={"receipt_event_ids": events[:100], "count": len(units)},
        root_cause="validation",
    )
