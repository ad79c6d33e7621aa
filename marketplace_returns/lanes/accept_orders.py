"""Promise: no order is cancelled because nobody acknowledged it (R14, R15, C11).

Plans one OR21 per order in WAITING_ACCEPTANCE, deciding every line (OR21 refuses an incomplete decision). It never
refuses a line by itself: a refusal costs seller rating, so what the policy does not accept waits for a person.
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
    from marketplace_returns.settings import Shop

LANE = "accept_orders"
OVERDUE_AFTER = timedelta(hours=4)
"""An order still waiting this long after it was placed is shown to its owner, whatever the reason."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the acceptance of every waiting order of a shop (OR21)."""
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    waiting = rows(con, LANE, shop=shop.name)
    orders = [(order_id, list(lines)) for order_id, lines in groupby(waiting, key=lambda row: row["order_id"])]
    for order_id, lines in orders:
        order = lines[0]
        held = _held_because(shop, lines)
        if held is None:
            intents.append(_acceptance(shop, order_id, lines, mappings.version))
        if held is not None or now - order["created_at"] > OVERDUE_AFTER:
            exceptions.append(
                ExceptionPlan(
                    shop=shop.name,
                    type="ACK_OVERDUE",
                    entity={"order_id": order_id},
                    cause="held" if held else "late",
                    message=held
                    or f"Order {order_id} waits for acceptance since {order['created_at']:%Y-%m-%d %H:%M} UTC.",
                    amount_minor=order["total_price_minor"],
                    currency=order["currency"],
                )
            )
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(orders)
    )


def _held_because(shop: Shop, lines: list[dict[str, Any]]) -> str | None:
    """Say why the policy keeps an order from being accepted at once, or None."""
    order_id = lines[0]["order_id"]
    limit_minor = shop.accept_above_minor
    if limit_minor is not None and lines[0]["total_price_minor"] > limit_minor:
        return (
            f"Order {order_id} waits for a person: its value is above policy accept_value_above = "
            f"{shop.policy.accept_value_above} {shop.currency}. Accept or refuse it in the marketplace's back office."
        )
    if shop.policy.accept == "in_stock":
        for line in lines:
            if line["available"] is None or line["available"] < line["quantity"]:
                return (
                    f"Order {order_id} is not accepted (policy accept = in_stock): {line['quantity']} x {line['item_code']} "
                    f"ordered, {line['available'] or 0} available. Accept or refuse it in the marketplace's back office."
                )
    return None


def _acceptance(shop: Shop, order_id: str, lines: list[dict[str, Any]], mapping_version: str) -> IntentPlan:
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.ACCEPT_ORDER,
        natural_key=order_id,
        order_id=order_id,
        body={
            "order_id": order_id,
            "order_lines": [{"id": line["order_line_id"], "accepted": True} for line in lines],
        },
        evidence={
            "order_payload": lines[0]["payload_hash"],
            "policy_accept": str(shop.policy.accept),
            "mapping_version": mapping_version,
        },
    )
