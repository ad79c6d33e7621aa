"""Promise: what is on sale is what the warehouse has, no more and no less (R11, R76, R83, C6, I10).

Under ``wms_absolute`` it plans one STO01 quantity per offer that differs: the warehouse's available units less the
buffer and less what was sold on the marketplace and is not yet in the warehouse (its figure still counts those, so they
would be sold twice). A disposition is not added to anything: it shows in the warehouse's figure. An absolute quantity
may be sent again safely. An item that the warehouse's whole list no longer has is nothing to sell; where many vanish at once,
or the list has nothing at all, it is the list that is doubted, and they are held with an exception.
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
VANISHED_MIN = 10
VANISHED_SHARE_MAX = 0.2
"""Of the offers with something on sale, so many may go to nothing because the list lost their item; more are held."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the quantity of every offer that differs from the warehouse (STO01)."""
    if shop.warehouse is None or shop.policy.stock_authority != "wms_absolute":
        return LaneDecision(lane=LANE, shop=shop.name, intents=(), exceptions=(), considered=0)
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    offers = rows(con, LANE, shop=shop.name, buffer=shop.policy.stock_buffer)
    vanished = [offer for offer in offers if offer["available"] is not None and not offer["is_listed"]]
    many = len(vanished) >= VANISHED_MIN and len(vanished) > VANISHED_SHARE_MAX * _on_sale(con, shop)
    is_doubtful = bool(vanished) and (many or _is_list_empty(con, shop))
    if is_doubtful:
        exceptions.append(_doubtful(shop, [offer["offer_sku"] for offer in vanished]))
    for offer in offers:
        sku = offer["offer_sku"]
        if is_doubtful and offer["available"] is not None and not offer["is_listed"]:
            continue
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
                    "is_listed": offer["is_listed"],
                    "mapping_version": mappings.version,
                },
            )
        )
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(offers)
    )


def _on_sale(con: DuckDBPyConnection, shop: Shop) -> int:
    ((count,),) = con.execute(
        "SELECT count(*) FROM model.stock WHERE shop = ? AND offer_quantity > 0", [shop.name]
    ).fetchall()
    return int(count)


def _is_list_empty(con: DuckDBPyConnection, shop: Shop) -> bool:
    """Tell whether the list has no row of the shop's sites: a site that the warehouse does not know looks like that."""
    ((count,),) = con.execute(
        "SELECT count(*) FROM model.warehouse_stock WHERE shop = ? AND is_listed", [shop.name]
    ).fetchall()
    return not count


def _doubtful(shop: Shop, skus: list[str]) -> ExceptionPlan:
    more = f" and {len(skus) - 5} more" if len(skus) > 5 else ""
    sites = ", ".join(shop.warehouse.sites) if shop.warehouse and shop.warehouse.sites else "none is set"
    return ExceptionPlan(
        shop=shop.name,
        type="STOCK_STALE",
        entity={"stream": "peoplevox/stock"},
        cause="vanished",
        message=f"{len(skus)} items on sale are no longer in the warehouse's stock list ({', '.join(skus[:5])}{more}). Their offers are "
        f"left as they are: check the report, the site ({sites}) and the integration user's rights. If the items are really gone, take "
        "them off sale on the marketplace.",
        evidence={"offer_skus": skus[:100], "count": len(skus)},
        root_cause="validation",
    )


def _not_before(now: datetime, cadence_s: int) -> datetime | None:
    """Return when the differences seen now are pushed together: at the next step of the shop's cadence, or at once (R40)."""
    if not cadence_s:
        return None
    return datetime.fromtimestamp((int(now.timestamp()) // cadence_s + 1) * cadence_s, UTC)
