"""Promise: no return says one thing on the marketplace and another on the returns platform without an owner (C4, R38, R48, R51, R55).

It plans no write: it lists returns that one side ended and the other did not, lines refunded more often than units came back, and
refunds that the platform says it made itself.
Only the marketplace refunds here, so such a refund is either money given twice or a sale that was never given back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from marketplace_returns.lanes.plan import ExceptionPlan, LaneDecision
from marketplace_returns.lanes.rows import rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "drift"
ENDED_FOR = timedelta(hours=24)
"""How long one side may have ended a return before the other must have followed (R38: the daily list)."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Name every return whose two sides differ, and every refund the platform made itself."""
    del mappings
    returns = rows(con, "status_drift", shop=shop.name, ended_before=now - ENDED_FOR)
    refunds = rows(con, "platform_refunds", shop=shop.name)
    lines = rows(con, "over_refunded", shop=shop.name)
    exceptions = [
        *(_twice(shop, each) for each in lines),
        *(_status(shop, each) for each in returns),
        *(_refund(shop, each) for each in refunds),
    ]
    return LaneDecision(
        lane=LANE,
        shop=shop.name,
        intents=(),
        exceptions=tuple(exceptions),
        considered=len(returns) + len(refunds) + len(lines),
    )


def _status(shop: Shop, each: dict[str, Any]) -> ExceptionPlan:
    here, there = f"{each['return_state']} on the marketplace", f"{each['platform_status']} on {each['platform']}"
    ended, still_open = (here, there) if each["is_marketplace_ended"] else (there, here)
    return ExceptionPlan(
        shop=shop.name,
        type="STATUS_DRIFT",
        entity={"order_id": each["order_id"], "return_id": each["return_id"]},
        cause="marketplace ended" if each["is_marketplace_ended"] else "platform ended",
        message=f"Return {each['return_id']} ({each['platform_return_id']}) is {ended} since {each['ended_at']:%Y-%m-%d} and still "
        f"{still_open}. Find out which is right, and end the other side.",
        evidence={"ended_at": each["ended_at"].isoformat()},
        root_cause="validation",
    )


def _twice(shop: Shop, each: dict[str, Any]) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type="REFUND_CONFLICT",
        entity={"order_id": each["order_id"], "order_line_id": each["order_line_id"]},
        cause="more refunds than units",
        message=f"Line {each['order_line_id']} of order {each['order_id']} shows {each['refunds']} refunds ({each['refund_ids']}) for "
        f"{each['units']} returned unit(s), and for more than they are worth. If one of them is no goodwill, ask the operator to "
        "reverse it.",
        amount_minor=each["amount_minor"] - each["value_minor"],
        currency=each["currency"],
        root_cause="validation",
        happened=f"refunds {each['refund_ids']} for {each['units']} unit(s)",
    )


def _refund(shop: Shop, each: dict[str, Any]) -> ExceptionPlan:
    is_twice = each["marketplace_refunds"] > 0
    ids = {
        "order_id": each["order_id"],
        "return_id": each["return_id"],
        "platform_return_id": each["platform_return_id"],
        "platform_refund_id": each["platform_refund_id"],
    }
    what = (
        f"the marketplace shows {each['marketplace_refunds']} refund(s) of the same goods too: the customer may have been paid twice"
        if is_twice
        else "the marketplace shows none: its refund is sent when the goods are accepted, so stop it if the customer must not be "
        "paid twice, or make it if nobody will"
    )
    return ExceptionPlan(
        shop=shop.name,
        type="REFUND_CONFLICT",
        entity={name: value for name, value in ids.items() if value},
        cause="refunded on both sides" if is_twice else "refunded on the platform only",
        message=f"{each['platform']} says it refunded return {each['platform_return_id']} itself"
        f"{' in advance' if each['is_advance'] else ''} ({each['platform_refund_id']}), and {what}. Only the marketplace refunds: "
        f"switch the refunds of {each['platform']} off.",
        amount_minor=each["amount_minor"],
        currency=each["currency"],
        root_cause="validation",
        happened=f"refund {each['platform_refund_id']} of {each['platform']}, {each['marketplace_refunds']} of the marketplace",
    )
