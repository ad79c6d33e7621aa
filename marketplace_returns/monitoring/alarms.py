"""Which rows of the monitoring tables become exceptions, in words for the person who owns them.

Here: type, entity, cause and message. Not here: finding the rows (the ``.sql`` files), storing the exceptions (the ledger).
The invariant: a cause holds no clock and no count, so that one thing stays one exception until it is gone.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.lanes.plan import ExceptionPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marketplace_returns.monitoring.watch import Seen
    from marketplace_returns.settings import Shop

    Alarms = Callable[[Shop, list[dict[str, Any]]], list[ExceptionPlan]]

EXAMPLES_MAX: Final = 5
DIFFERENCES_MAX: Final = 200
"""Differences of one kind beyond this are one exception that counts them: a renamed catalogue is one cause."""

_MASTER: Final = MappingProxyType(
    {
        "": "the system that owns product data (declare it as policy.product_master)",
        "marketplace": "the marketplace's catalogue, which owns product data",
        "warehouse": "the warehouse, which owns product data",
        "erp": "the ERP, which owns product data",
        "pim": "the PIM, which owns product data",
    }
)


def alarms_of(seen: Seen, shop: Shop) -> list[ExceptionPlan] | None:
    """Return the exceptions a table asks for now; None where its rows are only looked at."""
    make = _ALARMS.get(seen.name)
    return None if make is None else make(shop, seen.dicts())


def told_difference(shop: Shop, row: Mapping[str, Any]) -> tuple[str, str]:
    """Say what a row of ``sku_audit`` means, and who mends it where (R87, R88)."""
    offer, item = row["offer_sku"], row["item_code"]
    master = _MASTER[shop.policy.product_master]
    match row["difference"]:
        case "missing":
            return (
                f"Offer {offer}: the warehouse has no item {item}, so its orders will fail there.",
                f"Compare with {master}; create the item, or add a row to skus.csv ({shop.name},{offer},<item code>).",
            )
        case "case" | "whitespace":
            what = "in other case" if row["difference"] == "case" else "with other blanks"
            return (
                f"Offer {offer}: the warehouse spells its item {item!r} {what}, and orders go by the exact code.",
                f"Correct it in {master}, or add a row to skus.csv ({shop.name},{offer},{item}).",
            )
        case "duplicate" if offer:
            return (
                f"Offers {offer} are one item ({item}): its whole stock is pushed to each of them.",
                "End one of them, or give each its item in skus.csv.",
            )
        case "duplicate":
            return f"Items {item} of the warehouse fold to one code.", f"Correct one of them in {master}."
        case _:
            return (
                f"Item {item} of the warehouse is not on sale on the marketplace.",
                "List it, or leave it where it is not meant to be.",
            )


def _sku_audit(shop: Shop, rows: list[dict[str, Any]]) -> list[ExceptionPlan]:
    plans = []
    for difference in dict.fromkeys(row["difference"] for row in rows):
        found = [row for row in rows if row["difference"] == difference]
        if difference == "extra" or len(found) > DIFFERENCES_MAX:
            codes = ", ".join(row["offer_sku"] or row["item_code"] for row in found[:EXAMPLES_MAX])
            more = f" and {len(found) - EXAMPLES_MAX} more" if len(found) > EXAMPLES_MAX else ""
            plans.append(
                _sku_plan(
                    shop,
                    {"difference": difference},
                    difference,
                    f"{len(found)} of the catalogue audit: {codes}{more}. The first: {' '.join(told_difference(shop, found[0]))}",
                )
            )
            continue
        plans += [
            _sku_plan(
                shop,
                {"offer_sku": row["offer_sku"], "item_code": row["item_code"]},
                difference,
                " ".join(told_difference(shop, row)),
            )
            for row in found
        ]
    return plans


def _sku_plan(shop: Shop, entity: dict[str, str], cause: str, message: str) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name, type="SKU_AUDIT_DIFF", entity=entity, cause=cause, message=message, root_cause="mapping"
    )


def _stock_sync(shop: Shop, rows: list[dict[str, Any]]) -> list[ExceptionPlan]:
    plans = []
    for row in rows:
        if row["is_reading_stale"]:
            since = row["stock_read_at"]
            plans.append(
                _stock_plan(
                    shop,
                    "reading",
                    "The warehouse's stock was "
                    + (f"last read {row['read_age_minutes']} minutes ago" if since else "never read")
                    + ": offers may sell what is not there. See whether peoplevox/stock is polled and answers.",
                )
            )
        if row["is_push_stale"]:
            restock = (
                f", {row['restocks_waiting']} restocked units among them (the oldest waits {row['oldest_restock_minutes']} minutes)"
                if row["restocks_waiting"]
                else ""
            )
            plans.append(
                _stock_plan(
                    shop,
                    "push",
                    f"{row['pushes_waiting']} stock pushes wait, the oldest for {row['oldest_waiting_minutes']} minutes{restock}. "
                    "See the writes of kind push_stock, and whether STO01 is refused or switched off.",
                )
            )
    return plans


def _stock_plan(shop: Shop, cause: str, message: str) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type="STOCK_STALE",
        entity={"shop": shop.name},
        cause=cause,
        message=message,
        root_cause="time-out",
    )


def _stock_drift(shop: Shop, rows: list[dict[str, Any]]) -> list[ExceptionPlan]:
    return [
        ExceptionPlan(
            shop=shop.name,
            type="STOCK_DRIFT",
            entity={"offer_sku": row["offer_sku"]},
            cause="differs",
            message=f"Offer {row['offer_sku']} has {row['offer_quantity']} on sale and the warehouse {row['wanted_qty']} to sell "
            f"(item {row['item_code']}), with no push on its way. See whether push_stock is live and who else sets the offer.",
            evidence={"available": row["available"], "inactivity_reasons": row["inactivity_reasons"]},
            root_cause="validation",
        )
        for row in rows
    ]


def _new_values(shop: Shop, rows: list[dict[str, Any]]) -> list[ExceptionPlan]:
    return [
        ExceptionPlan(
            shop=shop.name,
            type="ENUM_NEW",
            entity={"source": row["source"], "place": row["place"], "value": row["value"]},
            cause=row["kind"],
            message=f"{row['source']} sends a new {row['kind']} {row['value']!r} ({row['place']}, such as {row['example']}). It is kept "
            "as it came; find out what it means, and add it to the mapping tables where a decision depends on it.",
            evidence={"seen": row["seen"], "example": row["example"]},
            root_cause="mapping",
        )
        for row in rows
    ]


def _order_coverage(shop: Shop, rows: list[dict[str, Any]]) -> list[ExceptionPlan]:
    return [
        ExceptionPlan(
            shop=shop.name,
            type="WMS_ORDER_MISSING",
            entity={"order_id": row["order_id"]},
            cause="not covered",
            message=f"Order {row['order_id']} may be shipped for {row['age_hours']} hours; the warehouse does not show it and no other "
            f"exception names it (its write: {row['write_state'] or 'none was planned'}). Run a pass; then look at its trace.",
            amount_minor=row["value_minor"],
            currency=row["currency"],
            due_at=row["shipping_deadline_at"],
            root_cause="bug" if row["write_state"] is None else "time-out",
        )
        for row in rows
        if row["state"] == "missing" or (row["state"] == "excepted" and row["is_named_here"])
    ]


_ALARMS: Final[Mapping[str, Alarms]] = MappingProxyType(
    {
        "sku_audit": _sku_audit,
        "stock_sync": _stock_sync,
        "stock_drift": _stock_drift,
        "new_values": _new_values,
        "order_coverage": _order_coverage,
    }
)
