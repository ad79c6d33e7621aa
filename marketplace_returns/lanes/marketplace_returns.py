"""Promise: a return that the customer opened on the returns platform exists once on the marketplace, or has an owner (C5, R47, R74).

Where returns begin on the platform (policy return_origin) it plans the marketplace's return (RT01, accepted, with the platform's
id as rma), as an intent of kind link_return. Where the operator does not take it, the refusal is the exception and the return goes
on without one, joined by order and line. Where returns begin on the marketplace, a return that only the platform has is a drift.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.platform_returns import RETURNABLE_STATES
from marketplace_returns.lanes.rows import rows
from marketplace_returns.periods import local_day
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "marketplace_returns"
RETURN_METHOD: Final = "RETURN_METHOD_BY_MAIL"
"""How the goods travel: the platform's label is a parcel's."""
ALONE_FOR: Final = timedelta(hours=24)
"""A return that only the platform has may be this old before it is a drift: our own link to it may be on its way."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the marketplace's return of every return that was opened on the platform (RT01)."""
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    found = rows(
        con,
        "platform_opened",
        shop=shop.name,
        platform=str(shop.returns.platform),
        today=local_day(now, shop.time_zone),
    )
    returns = [list(items) for _, items in groupby(found, key=lambda row: row["platform_return_id"])]
    for items in returns:
        if shop.policy.return_origin != "platform":
            if now - items[0]["created_at"] >= ALONE_FOR:
                exceptions.append(_drift(shop, items[0]))
            continue
        problem = _held_because(shop, items)
        if problem is None:
            intents.append(_creation(shop, items, mappings.version))
        else:
            exceptions.append(problem)
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(returns)
    )


def _held_because(shop: Shop, items: list[dict[str, Any]]) -> ExceptionPlan | None:
    """Name what keeps a return from being opened on the marketplace, worst first, or None."""
    case = items[0]
    key, order_id = case["platform_return_id"], case["order_id"]
    where = f"Return {key} of {shop.returns.platform}"
    if case["return_id"] is None:
        return _exception(
            shop,
            "RETURN_WAITING_ORDER",
            case,
            cause="order unknown",
            message=f"{where}: order {order_id or '(none named)'} is not known on the marketplace; it is looked for each pass.",
        )
    strange = [item["sku"] for item in items if not item["lines"]]
    if strange or any(line["over_quantity"] for item in items for line in item["lines"]):
        what = (
            f"names {', '.join(strange)}, which order {order_id} has not"
            if strange
            else f"asks for more units than order {order_id} has sold and not had back"
        )
        return _exception(
            shop,
            "RETURN_INELIGIBLE",
            case,
            cause="not on the order" if strange else "over quantity",
            message=f"{where} {what}. Cancel it on the returns platform, or correct the earlier return.",
        )
    early = [
        line
        for item in items
        for line in item["lines"]
        if line["line_state"] not in RETURNABLE_STATES and line["shipped_at"] is None
    ]
    if early:
        return _exception(
            shop,
            "RETURN_WAITING_ORDER",
            case,
            cause="not shipped",
            message=f"{where}: line {early[0]['order_line_id']} is {early[0]['line_state']}, not shipped; it is tried again each pass.",
        )
    unmapped = sorted({str(item["return_reason"]) for item in items if item["marketplace_reason"] is None})
    if unmapped:
        return _exception(
            shop,
            "REASON_UNMAPPED",
            case,
            cause=",".join(unmapped),
            message=f"{where}: reason {', '.join(unmapped)} has no row in reasons.csv (source_system {shop.returns.platform}, flow "
            "report_return, target_vocabulary mirakl_return). Add it; the marketplace's return is opened at the next pass.",
            root_cause="mapping",
        )
    return None


def _creation(shop: Shop, items: list[dict[str, Any]], mapping_version: str) -> IntentPlan:
    case = items[0]
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.LINK_RETURN,
        natural_key=case["return_id"],
        order_id=case["order_id"],
        return_id=case["return_id"],
        body={
            "rma": case["platform_return_id"],
            "create": {
                "order_commercial_id": case["order_commercial_id"],
                "method_code": RETURN_METHOD,
                "accepted": True,
                "rma": case["platform_return_id"],
                "label_url": case["label_url"] or "",
                "return_lines": [
                    {
                        "order_line_id": line["order_line_id"],
                        "quantity": line["quantity"],
                        "reason_code": item["marketplace_reason"],
                    }
                    for item in items
                    for line in item["lines"]
                ],
            },
        },
        evidence={
            "platform_payload": case["payload_hash"],
            "platform_reasons": [item["return_reason"] for item in items],
            "mapping_version": mapping_version,
        },
    )


def _drift(shop: Shop, case: dict[str, Any]) -> ExceptionPlan:
    return _exception(
        shop,
        "STATUS_DRIFT",
        case,
        cause="on the platform only",
        message=f"Return {case['platform_return_id']} of {shop.returns.platform} (order {case['order_id']}) was opened on "
        f"{case['created_at']:%Y-%m-%d} and no return of the marketplace stands for it, so nothing is refunded for it. Open it on the "
        "marketplace with that number as its RMA, or cancel it; if customers open returns there, set policy return_origin.",
    )


def _exception(
    shop: Shop, exception_type: str, case: dict[str, Any], *, cause: str, message: str, root_cause: str = "validation"
) -> ExceptionPlan:
    ids = {"order_id": case["order_id"], "platform_return_id": case["platform_return_id"]}
    return ExceptionPlan(
        shop=shop.name,
        type=exception_type,
        entity={name: value for name, value in ids.items() if value},
        cause=cause,
        message=message,
        root_cause=root_cause,
    )
