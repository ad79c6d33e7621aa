"""Promise: what the warehouse found is told to the marketplace and the platform, and a finished return is closed (R8, R25, R27, R37).

Plans, per return and only after the physical event: received (RT25), compliance of every line (RT26), the outcome to the
platform, and the close (RT27) once every accepted unit shows a refund. A parcel that came short, wrong or unannounced is
an exception with an owner; nothing is reported for a unit nobody saw.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.periods import local_day
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.platform import ItemOutcome
from marketplace_returns.sources.platforms import PLATFORMS

if TYPE_CHECKING:
    from datetime import date

    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop
    from marketplace_returns.sources.platforms import Platform

LANE = "closing"
Codes = dict[tuple[str, str], str]
"""(inspecting system, canonical disposition) to the target system's code."""
SHORT_AFTER = timedelta(hours=72)
"""A parcel part of which was inspected this long ago is short of the rest."""
INSPECTION_AFTER = timedelta(hours=96)
"""A parcel that the platform shows as received this long ago should have been inspected."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan RT25, RT26, the platform's outcome and RT27 for every return that is far enough."""
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    today = local_day(now, shop.time_zone)
    platform = PLATFORMS[shop.returns.platform]
    compliance_codes = _codes(con, "mirakl_non_compliant", today)
    reject_codes = _codes(con, str(shop.returns.platform), today)
    open_lines = rows(con, LANE, shop=shop.name)
    cases = [list(lines) for _, lines in groupby(open_lines, key=lambda row: str(row["return_id"]))]
    for lines in cases:
        exceptions += _receipt_problems(shop, lines, now)
        if not any(line["inspected_units"] for line in lines):
            continue
        if lines[0]["return_state"] == "IN_PROGRESS":
            intents.append(_plan(shop, WriteKind.RECEIVE_RETURN, lines, {}, mappings))
        if any(line["inspected_units"] < line["units"] or line["unmapped_units"] for line in lines):
            continue
        vocabularies = {"mirakl_non_compliant": compliance_codes}
        if platform.needs_reject_reasons:
            vocabularies[shop.returns.platform] = reject_codes
        unmapped = _unmapped_codes(lines, vocabularies)
        if unmapped:
            exceptions.append(_unmapped(shop, lines[0], unmapped))
            continue
        has_return = lines[0]["return_state"] is not None  # else it stands on the platform alone (C5)
        if has_return and any(line["compliance"] is None for line in lines):
            body = {"return_lines": [_compliance(line, compliance_codes) for line in lines]}
            intents.append(_plan(shop, WriteKind.REPORT_COMPLIANCE, lines, body, mappings))
        if not all(line["is_refunded"] for line in lines):
            continue
        if any(line["outcome_items"] for line in lines):
            intents.append(_outcome(shop, platform, lines, reject_codes, mappings))
        elif lines[0]["return_state"] == "RECEIVED" and all(line["compliance"] is not None for line in lines):
            intents.append(_plan(shop, WriteKind.CLOSE_RETURN, lines, {}, mappings))
    exceptions += _unexpected(con, shop)
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(cases)
    )


def _codes(con: DuckDBPyConnection, vocabulary: str, today: date) -> Codes:
    """Return the target's code of every (inspecting system, canonical disposition)."""
    found = rows(con, "disposition_codes", vocabulary=vocabulary, today=today)
    return {(row["source_system"], row["source_code"]): row["target_code"] for row in found}


def _unmapped_codes(lines: list[dict[str, Any]], vocabularies: dict[str, Codes]) -> list[str]:
    """Name each disposition of a return that a vocabulary has no code for."""
    found = {(line["receipt_source"], line["worst_disposition"]) for line in lines if line["worst_disposition"]}
    return sorted(
        f"{source} {disposition} to {vocabulary}"
        for source, disposition in found
        for vocabulary, codes in vocabularies.items()
        if (source, disposition) not in codes
    )


def _plan(
    shop: Shop, kind: WriteKind, lines: list[dict[str, Any]], body: dict[str, Any], mappings: Mappings
) -> IntentPlan:
    case = lines[0]
    return IntentPlan(
        shop=shop.name,
        kind=kind,
        natural_key=case["return_id"],
        order_id=case["order_id"],
        return_id=case["return_id"],
        body={"return_id": case["return_id"], **body},
        evidence=_evidence(lines, mappings),
    )


def _outcome(
    shop: Shop, platform: Platform, lines: list[dict[str, Any]], reject_codes: Codes, mappings: Mappings
) -> IntentPlan:
    """Plan what the platform is told of each item; of one item's units some may be accepted and some rejected."""
    case = lines[0]
    items: list[ItemOutcome] = []
    for line in lines:
        accepted_left = line["accepted_units"]
        for item in line["outcome_items"]:
            accepted = min(accepted_left, item["quantity"])
            accepted_left -= accepted
            rejected = item["quantity"] - accepted
            items.append(
                ItemOutcome(
                    item_id=item["item_id"],
                    order_line_id=line["order_line_id"],
                    accepted=accepted,
                    rejected=rejected,
                    reject_reason=reject_codes.get((line["receipt_source"], line["worst_disposition"]))
                    if rejected
                    else None,
                    refund_ids=tuple(line["refund_ids"]),
                )
            )
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.REPORT_REFUND_OUTCOME,
        natural_key=case["platform_return_id"],
        order_id=case["order_id"],
        return_id=case["return_id"],
        body=platform.outcome(case["platform_return_id"], items),
        evidence=_evidence(lines, mappings),
    )


def _compliance(line: dict[str, Any], codes: Codes) -> dict[str, Any]:
    worst = line["worst_disposition"]
    if worst is None:
        return {"order_line_id": line["order_line_id"], "compliant": True}
    return {
        "order_line_id": line["order_line_id"],
        "compliant": False,
        "non_compliance_reason_code": codes[line["receipt_source"], worst],
    }


def _evidence(lines: list[dict[str, Any]], mappings: Mappings) -> dict[str, Any]:
    inspected = [line["last_inspected_at"] for line in lines if line["last_inspected_at"] is not None]
    return {
        "receipt_payloads": sorted({payload for line in lines for payload in line["receipt_payloads"] or []}),
        "last_inspected_at": max(inspected).isoformat() if inspected else "",
        "dispositions": {line["order_line_id"]: line["worst_disposition"] or "sellable" for line in lines},
        "mapping_version": mappings.version,
    }


def _receipt_problems(shop: Shop, lines: list[dict[str, Any]], now: datetime) -> list[ExceptionPlan]:
    """Name parcels that came short or wrong, and parcels nobody inspects."""
    case = lines[0]
    found: list[ExceptionPlan] = []
    inspected = [line["first_inspected_at"] for line in lines if line["first_inspected_at"] is not None]
    missing = sum(line["units"] - line["inspected_units"] for line in lines)
    if inspected and missing and now - min(inspected) > SHORT_AFTER:
        found.append(
            _exception(
                shop,
                "RECEIPT_SHORT",
                case,
                cause="short",
                message=f"Return {case['return_id']}: {missing} announced unit(s) did not come with the parcel inspected on "
                f"{min(inspected):%Y-%m-%d}. Ask the warehouse, then decide with the customer.",
            )
        )
    received_at = case["platform_received_at"]
    if not inspected and received_at is not None and now - received_at > INSPECTION_AFTER:
        found.append(
            _exception(
                shop,
                "INSPECTION_OVERDUE",
                case,
                cause="not inspected",
                message=f"Return {case['return_id']} arrived on {received_at:%Y-%m-%d} and nobody has inspected it.",
            )
        )
    if any(line["worst_disposition"] == "wrong_item" for line in lines):
        found.append(
            _exception(
                shop,
                "RECEIPT_WRONG_ITEM",
                case,
                cause="wrong item",
                message=f"Return {case['return_id']}: another item came than was announced. It is not refunded; stock counts the "
                "item that came.",
            )
        )
    return found


def _unexpected(con: DuckDBPyConnection, shop: Shop) -> list[ExceptionPlan]:
    return [
        ExceptionPlan(
            shop=shop.name,
            type="RECEIPT_UNEXPECTED",
            entity={"order_id": receipt["order_id"], "receipt_event_id": receipt["receipt_event_id"]},
            cause="no return" if receipt["has_order"] else "no order",
            message=f"The warehouse inspected 1 x {receipt['item_code']} of order {receipt['order_id']} "
            f"({receipt['receipt_event_id']}) that no open return announced"
            + ("." if receipt["has_order"] else "; the order is not known either."),
            root_cause="validation",
        )
        for receipt in rows(con, "unexpected_receipts", shop=shop.name)
    ]


def _unmapped(shop: Shop, case: dict[str, Any], gaps: list[str]) -> ExceptionPlan:
    return _exception(
        shop,
        "REASON_UNMAPPED",
        case,
        cause=f"compliance {','.join(gaps)}",
        message=f"Return {case['return_id']}: reasons.csv has no row (flow report_compliance) for {'; '.join(gaps)}. "
        "Add it; the report is sent at the next pass.",
        root_cause="mapping",
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
