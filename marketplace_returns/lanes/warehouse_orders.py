"""Promise: every order that may be shipped is in the warehouse, and one that could not be has an owner (R81, R82, R89).

Plans one sales order per order in SHIPPING, and its cancellation in the warehouse where the marketplace cancelled the whole
order before anything of it left; where only a line was cancelled, which no import takes, an exception. The body holds no personal data: ``ship_to_ref`` names the landed payload
whose split-off address is filled in when it is sent. A line's key is its place on the order: the warehouse takes no
more than 16 characters.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.money import to_decimal
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "warehouse_orders"
MISSING_AFTER = timedelta(hours=2)
"""A shippable order that the warehouse still does not show after this long is listed (R89)."""
COUNTDOWN = timedelta(hours=12)
"""So long before the despatch deadline it is listed however short it has waited (R82)."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan a warehouse sales order for every shippable order the warehouse does not have, or has by half."""
    if shop.warehouse is None:
        return LaneDecision(lane=LANE, shop=shop.name, intents=(), exceptions=(), considered=0)
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    waiting = rows(con, LANE, shop=shop.name, reads_lines=shop.warehouse.read == "api")
    orders = [(order_id, list(lines)) for order_id, lines in groupby(waiting, key=lambda row: row["order_id"])]
    for order_id, lines in orders:
        order = lines[0]
        unknown = sorted({line["item_code"] for line in lines if line["is_in_catalogue"] is False})
        if unknown:
            exceptions.append(
                _exception(
                    shop,
                    "SKU_UNMAPPED",
                    order,
                    cause=",".join(unknown),
                    message=f"Order {order_id}: the warehouse does not know {', '.join(unknown)}. Add a row to skus.csv or the "
                    "item to the warehouse; the order is sent at the next pass.",
                    root_cause="mapping",
                    due_at=order["shipping_deadline_at"],
                )
            )
            continue
        if order["has_shipping_address"]:
            intents.append(_sales_order(shop, order_id, lines, mappings.version))
        since = order["customer_debited_at"] or order["created_at"]
        deadline = order["shipping_deadline_at"]
        if now - since > MISSING_AFTER or (deadline is not None and deadline - now < COUNTDOWN):
            exceptions.append(
                _exception(
                    shop,
                    "WMS_ORDER_MISSING",
                    order,
                    cause="not seen",
                    message=f"Order {order_id} may be shipped since {since:%Y-%m-%d %H:%M} UTC and {_what_is_missing(lines)}.",
                    due_at=deadline,
                )
            )
    cancelled = rows(con, "warehouse_cancellations", shop=shop.name)
    for order in cancelled:
        if order["is_whole"] and not order["has_left"]:
            intents.append(_cancellation(shop, order))
        elif not order["is_whole"]:  # what was cancelled whole and has left is a race of lane cancelations
            exceptions.append(_surplus(shop, order))
    return LaneDecision(
        lane=LANE,
        shop=shop.name,
        intents=tuple(intents),
        exceptions=tuple(exceptions),
        considered=len(orders) + len(cancelled),
    )


def _what_is_missing(lines: list[dict[str, Any]]) -> str:
    if not lines[0]["has_shipping_address"]:
        return "shows no address yet"
    shown = lines[0]["lines_shown"]
    return (
        "the warehouse does not show it" if shown is None else f"the warehouse shows {shown} of its {len(lines)} lines"
    )


def _cancellation(shop: Shop, order: dict[str, Any]) -> IntentPlan:
    order_id = order["order_id"]
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.CREATE_WAREHOUSE_ORDER,
        natural_key=f"{order_id}/cancel",
        order_id=order_id,
        body={"action": "cancel", "order_id": order_id},
        evidence={"order_payload": order["payload_hash"], "warehouse_status": order["warehouse_status"]},
        priority=1,  # before new orders: it may be picked any minute
    )


def _surplus(shop: Shop, order: dict[str, Any]) -> ExceptionPlan:
    return _exception(
        shop,
        "CANCEL_RACE",
        order,
        cause=f"line cancelled {order['surplus']}",
        message=f"Order {order['order_id']} has a cancelled line, and the warehouse still holds {order['surplus']} for it. Have that "
        "taken off the pick; no import can.",
        root_cause="validation",
    )


def _sales_order(shop: Shop, order_id: str, lines: list[dict[str, Any]], mapping_version: str) -> IntentPlan:
    order = lines[0]
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.CREATE_WAREHOUSE_ORDER,
        natural_key=order_id,
        order_id=order_id,
        body={
            "order_id": order_id,
            "created_at": order["created_at"].isoformat(),
            "service_type": order["shipping_type_code"] or "",
            "total_sale": str(to_decimal(order["total_price_minor"], order["currency"])),
            "ship_to_ref": order["payload_hash"],
            "items": [
                {
                    "line": str(place),
                    "item_code": line["item_code"],
                    "quantity": line["quantity"],
                    "sale_price": str(to_decimal(line["price_minor"], line["currency"])),
                }
                for place, line in enumerate(lines, start=1)
            ],
        },
        evidence={
            "order_payload": order["payload_hash"],
            "mapping_version": mapping_version,
            "due_at": order["shipping_deadline_at"].isoformat() if order["shipping_deadline_at"] else "",
        },
    )


def _exception(
    shop: Shop,
    exception_type: str,
    order: dict[str, Any],
    *,
    cause: str,
    message: str,
    root_cause: str = "",
    due_at: datetime | None = None,
) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type=exception_type,
        entity={"order_id": order["order_id"]},
        cause=cause,
        message=message,
        amount_minor=order["total_price_minor"],
        currency=order["currency"],
        due_at=due_at,
        root_cause=root_cause,
    )
