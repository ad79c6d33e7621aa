"""Promise: a return opened on the marketplace exists once on the returns platform, with its label shown to the customer (R1, R2, R28, R29, R74, R117).

Plans the return on the platform (once per marketplace return), and when the platform shows it, the link back: RT21 where
the return still waits, then RT04 with our key (rma), label and tracking; a label that the platform gives only later is written
then, by a write of its own. An order not yet shipped or not yet known parks
the return with an exception; an unmapped reason holds it (C2) unless the policy says fallback.
"""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from marketplace_returns.lanes.plan import LATE_LABEL, ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.money import to_decimal, unit_share
from marketplace_returns.periods import local_day
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.platform import NewReturn, NewReturnLine
from marketplace_returns.sources.platforms import PLATFORMS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "platform_returns"
RETURNABLE_STATES = frozenset({"SHIPPED", "TO_COLLECT", "RECEIVED", "INCIDENT_OPEN"})
"""Line states in which goods are with the customer (R74)."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the creation of open returns on the platform and the link back to the marketplace."""
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    announced = rows(
        con, LANE, shop=shop.name, platform=str(shop.returns.platform), today=local_day(now, shop.time_zone)
    )
    cases = [(return_id, list(lines)) for return_id, lines in groupby(announced, key=lambda row: row["return_id"])]
    for _, lines in cases:
        if lines[0]["platform_return_id"] is not None:
            intents += _link(shop, lines, mappings.version)
            if lines[0]["platform_carrier"] and lines[0]["carrier_code"] is None:
                exceptions.append(_unmapped_carrier(shop, lines[0]))
            if not lines[0]["platform_label_url"] and shop.policy.return_label == "needed":
                exceptions.append(_no_label(shop, lines[0]))
            continue
        problem = _held_because(shop, lines)
        if problem is not None:
            exceptions.append(problem)
            if problem.type != "REASON_UNMAPPED" or shop.policy.reason_unmapped_return == "hold":
                continue
            if any(line["platform_reason"] is None and line["fallback_reason"] is None for line in lines):
                continue
        intents.append(_creation(shop, lines, mappings.version))
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(cases)
    )


def _held_because(shop: Shop, lines: list[dict[str, Any]]) -> ExceptionPlan | None:
    """Name what keeps a return from being created, worst first, or None."""
    case = lines[0]
    return_id, order_id = case["return_id"], case["order_id"]
    for line in lines:
        line_id = line["order_line_id"]
        if line["line_state"] is None:
            return _exception(
                shop,
                "RETURN_WAITING_ORDER",
                case,
                cause="order unknown",
                message=f"Return {return_id}: order {order_id} (line {line_id}) is not known yet; it is tried again each pass.",
            )
        if line["line_state"] not in RETURNABLE_STATES and line["shipped_at"] is None:
            return _exception(
                shop,
                "RETURN_WAITING_ORDER",
                case,
                cause="not shipped",
                message=f"Return {return_id}: line {line_id} of order {order_id} is {line['line_state']}, not shipped; it is "
                "tried again each pass.",
            )
        if line["highest_ordinal"] > line["line_quantity"]:
            return _exception(
                shop,
                "RETURN_INELIGIBLE",
                case,
                cause="over quantity",
                message=f"Return {return_id} asks for more units of line {line_id} than were sold ({line['line_quantity']}) and "
                "not yet returned. Refuse it in the marketplace's back office, or correct the earlier return.",
            )
    unmapped = sorted({str(line["reason_code"]) for line in lines if line["platform_reason"] is None})
    if unmapped:
        return _exception(
            shop,
            "REASON_UNMAPPED",
            case,
            cause=",".join(unmapped),
            message=f"Return {return_id}: reason {', '.join(unmapped)} has no row in reasons.csv (source_system mirakl, flow "
            f"create_return, target_vocabulary {shop.returns.platform}). Add it; the return is created at the next pass.",
            root_cause="mapping",
        )
    return None


def _creation(shop: Shop, lines: list[dict[str, Any]], mapping_version: str) -> IntentPlan:
    case = lines[0]
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.CREATE_PLATFORM_RETURN,
        natural_key=case["return_id"],
        order_id=case["order_id"],
        return_id=case["return_id"],
        body=PLATFORMS[shop.returns.platform].creation(
            NewReturn(
                return_id=case["return_id"],
                order_id=case["order_id"],
                currency=case["currency"],
                lines=tuple(
                    NewReturnLine(
                        order_line_id=line["order_line_id"],
                        sku=line["offer_sku"],
                        quantity=line["quantity"],
                        unit_price=_per_unit(line["price_minor"], line),
                        tax_amount=_per_unit(line["tax_minor"], line),
                        reason=line["platform_reason"] or line["fallback_reason"],
                    )
                    for line in lines
                ),
            )
        ),
        evidence={
            "return_payload": case["payload_hash"],
            "mapping_version": mapping_version,
            "marketplace_reasons": [line["reason_code"] for line in lines],
        },
    )


def _per_unit(total_minor: int, line: dict[str, Any]) -> str:
    """What one unit of a line costs, as the platform shows it to the customer; never the base of a refund (R3)."""
    return str(to_decimal(unit_share(int(total_minor), 1, line["line_quantity"]), line["currency"]))


def _link(shop: Shop, lines: list[dict[str, Any]], mapping_version: str) -> list[IntentPlan]:
    """Plan RT21 and RT04 where the marketplace does not show the platform's return yet, or not its label."""
    case = lines[0]
    accepted = case["return_state"] != "WAITING_ACCEPTANCE"
    is_linked = accepted and case["rma"] == case["platform_return_id"]
    is_label_late = shop.policy.return_label == "needed" and case["platform_label_url"] and not case["label_url"]
    if is_linked and not is_label_late:
        return []
    # The marketplace takes only carriers it knows (SH21): an unmapped one is told, and the link goes without tracking.
    is_known = case["carrier_code"] is not None and case["platform_tracking_number"] is not None
    tracking = (
        {"carrier_code": case["carrier_code"], "tracking_number": case["platform_tracking_number"]} if is_known else {}
    )
    return [
        IntentPlan(
            shop=shop.name,
            kind=WriteKind.LINK_RETURN,
            natural_key=case["return_id"] + (LATE_LABEL if is_linked else ""),
            order_id=case["order_id"],
            return_id=case["return_id"],
            body={
                "return_id": case["return_id"],
                "accept": not accepted,
                "rma": case["platform_return_id"],
                "label_url": case["platform_label_url"] or "",
                "tracking": tracking,
            },
            evidence={"return_payload": case["payload_hash"], "mapping_version": mapping_version},
        )
    ]


def _unmapped_carrier(shop: Shop, case: dict[str, Any]) -> ExceptionPlan:
    carrier = case["platform_carrier"]
    return _exception(
        shop,
        "DESPATCH_UNMAPPED_CARRIER",
        case,
        cause=str(carrier).lower(),
        message=f"Return {case['return_id']} travels with {carrier!r}, which carriers.csv does not name for "
        f"{shop.returns.platform}. It is linked without tracking; add a row for the next ones.",
        root_cause="mapping",
    )


def _no_label(shop: Shop, case: dict[str, Any]) -> ExceptionPlan:
    """Tell that the marketplace has no label to show (R117): some platforms print one and have no address for it."""
    return _exception(
        shop,
        "RETURN_CREATE_FAILED",
        case,
        cause="no label",
        message=f"Return {case['return_id']} is {case['platform_return_id']} on {shop.returns.platform}, which gives no address of "
        "a label. Send the customer the label from there; for the next ones set returns.label_url_template, or "
        "policy.return_label = 'elsewhere' where customers get theirs otherwise.",
    )


def _exception(
    shop: Shop, exception_type: str, case: dict[str, Any], *, cause: str, message: str, root_cause: str = "validation"
) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type=exception_type,
        entity={"order_id": case["order_id"], "return_id": case["return_id"]},
        cause=cause,
        message=message,
        root_cause=root_cause,
    )
