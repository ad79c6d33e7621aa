"""Promise: an incident on the marketplace and the return of the same goods tell one story, or somebody owns the difference (R49, R55).

Plans OR64 for a line whose return is done and refunded, with the close reason that reasons.csv names for the incident's reason
(flow resolve_incident): the row is the shop's consent. Everything else that differs is an exception: an incident whose return is
done and was not refunded, one that nobody returned for, and money given back by hand while the return is still on its way.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.periods import local_day
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "incidents"
RESOLVED_WITHIN = timedelta(hours=24)
"""An incident still open this long after its return was done is shown, whatever was sent (who closes it is the operator's)."""
ALONE_FOR = timedelta(hours=48)
"""An incident this old that no return belongs to needs an answer to the customer."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the end of incidents whose return is done (OR64), and name every other difference."""
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    lines = rows(con, LANE, shop=shop.name, today=local_day(now, shop.time_zone))
    for line in lines:
        is_settled = line["is_return_done"] and 0 < line["accepted_units"] <= line["refunds"]
        if line["line_state"] == "INCIDENT_OPEN" and is_settled and line["close_reason"] is not None:
            intents.append(_resolution(shop, line, mappings.version))
        problem = _difference(shop, line, now, is_settled=is_settled)
        if problem is not None:
            exceptions.append(problem)
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(lines)
    )


def _resolution(shop: Shop, line: dict[str, Any], mapping_version: str) -> IntentPlan:
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.RESOLVE_INCIDENT,
        natural_key=line["order_line_id"],
        order_id=line["order_id"],
        order_line_id=line["order_line_id"],
        return_id=line["return_id"],
        body={
            "order_id": line["order_id"],
            "order_line_id": line["order_line_id"],
            "reason_code": line["close_reason"],
        },
        evidence={
            "order_payload": line["payload_hash"],
            "incident_reason": line["incident_reason"],
            "returns": line["return_ids"],
            "returns_ended_at": line["ended_at"].isoformat(),
            "refunds": line["refunds"],
            "mapping_version": mapping_version,
        },
    )


def _difference(shop: Shop, line: dict[str, Any], now: datetime, *, is_settled: bool) -> ExceptionPlan | None:
    """Name how incident and return differ, or None."""
    line_id, order_id, returns = line["order_line_id"], line["order_id"], line["return_ids"]
    where = f"Line {line_id} of order {order_id}"
    cause, root_cause, message = "", "validation", ""
    if line["line_state"] != "INCIDENT_OPEN":
        # Refunds before inspection are ours where the policy asks for them; by default only a person makes them.
        if shop.policy.refund_trigger == "inspected" and shop.policy.refund_at_deadline == "escalate":
            cause = "refunded, return open"
            message = (
                f"{where} was refunded by hand on {line['refunded_at'] or line['updated_at']:%Y-%m-%d}, while return {returns} is "
                "still open. Nothing more is refunded for it; close the return on the returns platform, or record why it goes on."
            )
    elif returns is None:
        if now - line["updated_at"] >= ALONE_FOR:
            cause = "no return"
            message = (
                f"{where} has an open incident (reason {line['incident_reason']}) and no return. Its money is held back until it is "
                "closed: answer the customer, then open a return or resolve it in the back office."
            )
    elif line["is_return_done"] and not is_settled:
        cause = "return closed without refund"
        message = (
            f"{where} has an open incident (reason {line['incident_reason']}) and return {returns} is closed without a refund of it. "
            "Decide with the customer, after a look at what inspection found."
        )
    elif line["is_return_done"] and line["close_reason"] is None:
        cause, root_cause = f"reason {line['incident_reason']}", "mapping"
        message = (
            f"{where}: return {returns} is closed and refunded, and the incident stays open: reasons.csv has no row for "
            f"{line['incident_reason']} (source_system mirakl, flow resolve_incident, target_vocabulary mirakl_incident_close). Add "
            "it, and the incident is resolved at the next pass; or resolve it in the back office."
        )
    elif line["is_return_done"] and now - line["ended_at"] >= RESOLVED_WITHIN:
        cause = "open after return closed"
        message = (
            f"{where}: return {returns} is closed and refunded since {line['ended_at']:%Y-%m-%d} and the incident is still open. Ask "
            "the operator to close it; do not refund again."
        )
    return _exception(shop, line, cause=cause, message=message, root_cause=root_cause) if cause else None


def _exception(shop: Shop, line: dict[str, Any], *, cause: str, message: str, root_cause: str) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type="INCIDENT_DRIFT",
        entity={"order_id": line["order_id"], "order_line_id": line["order_line_id"]},
        cause=cause,
        message=message,
        amount_minor=line["price_minor"],
        currency=line["currency"],
        root_cause=root_cause,
    )
