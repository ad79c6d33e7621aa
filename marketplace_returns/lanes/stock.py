"""Promise: what is on sale is what the warehouse has, no more and no less (R11, R76, R83, C6, I10).

Under ``wms_absolute`` it plans one STO01 quantity per offer that differs: the warehouse's available units less the
buffer and less what was sold on the marketplace and is not yet in the warehouse (its figure still counts those, so they
would be sold twice). A disposition is not added to anything: it shows in the warehouse's figure. An absolute quantity
may be sent again safely.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "stock"


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the quantity of every offer that differs from the warehouse (STO01)."""
    if shop.warehouse is None or shop.policy.stock_authority != "wms_absolute":
        return LaneDecision(lane=LANE, shop=shop.name, intents=(), exceptions=(), considered=0)
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    offers = rows(con, LANE, shop=shop.name, buffer=shop.policy.stock_buffer)
    for offer in offers:
        sku = offer["offer_sku"]
        if offer["available"] is None:
            exceptions.append(
                ExceptionPlan(
                    shop=shop.name,
                    type="SKU_UNMAPPED",
                    entity={"offer_sku": sku},
                    cause="no stock figure",
                    message=f"Offer {sku}: the warehouse gives no stock figure for item {offer['item_code']}. Add a row to skus.csv "
                    "or the item to the warehouse.",
                    root_cause="mapping",
                )
            )
            continue
        intents.append(
            IntentPlan(
                shop=shop.name,
                kind=WriteKind.PUSH_STOCK,
                not_before=_not_before(now, shop.cadence.stock_push_s),
                natural_key=f"{sku}@{offer['as_of'].isoformat()}",
                body={"offer_sku": sku, "quantity": offer["wanted_qty"]},
                evidence={
                    "item_code": offer["item_code"],
                    "available": offer["available"],
                    "buffer": shop.policy.stock_buffer,
                    "not_yet_in_warehouse_qty": offer["not_yet_in_warehouse_qty"],
                    "offer_quantity_before": offer["offer_quantity"],
                    "stock_payload": offer["stock_payload_hash"],
                    "mapping_version": mappings.version,
                },
            )
        )
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(offers)
    )


def _not_before(now: datetime, cadence_s: int) -> datetime | None:
    """Return when the differences seen now are pushed together: at the next step of the shop's cadence, or at once (R40)."""
    if not cadence_s:
        return None
    return datetime.fromtimestamp((int(now.timestamp()) // cadence_s + 1) * cadence_s, UTC)
