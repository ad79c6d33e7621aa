"""Promise: a cancelation that met a despatch, a refund or a return is seen with both events and a way out (R54).

It plans no write: which of two things that crossed should stand is a person's choice. Each message names both events with
their times and proposes the final state of both sides.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.lanes.plan import ExceptionPlan, LaneDecision
from marketplace_returns.lanes.rows import rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "cancelations"
AT_ONCE: Final = timedelta(hours=48)
"""A refund and a cancelation of one line this near to each other may be two answers to one wish."""

TAKEN_OFF_WITHIN: Final = timedelta(hours=2)
"""How long the warehouse may still hold a cancelled order: lane ``warehouse_orders`` takes it off by itself."""

# race: (what the cancelation was, what the other event was, the proposed final state)
_RACES: Final = MappingProxyType(
    {
        "despatched": (
            "cancelled on the marketplace",
            "despatched by the warehouse",
            "cancelled on the marketplace; have the carrier stop the parcel, or take it back into stock when it returns",
        ),
        "in warehouse": (
            "cancelled on the marketplace",
            "still in the warehouse to be picked",
            "cancelled on both sides: cancel the sales order in the warehouse before it is packed",
        ),
        "part despatched": (
            "cancelled in part on the marketplace",
            "despatched by the warehouse with the cancelled units",
            "cancelled units stay cancelled; have the parcel's surplus sent back, or charge it with the operator's help",
        ),
        "warehouse cancelled": (
            "cancelled in the warehouse",
            "paid by the customer and SHIPPING on the marketplace",
            "refunded on the marketplace with reason out of stock (it was debited, so it cannot be cancelled any more); or "
            "reopened in the warehouse and sent",
        ),
        "refunded": (
            "cancelled on the marketplace",
            "refunded on the marketplace",
            "one of the two for each unit: if the customer got both, ask the operator to reverse one",
        ),
        "returned": (
            "cancelled on the marketplace",
            "announced as a return",
            "cancelled, with the return refused: nothing was sent that could come back; if it was, see the despatch",
        ),
    }
)


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Name every order on which a cancelation and something else crossed."""
    del mappings
    races = rows(
        con,
        LANE,
        shop=shop.name,
        at_once_s=int(AT_ONCE.total_seconds()),
        taken_off_before=now - TAKEN_OFF_WITHIN,
    )
    return LaneDecision(
        lane=LANE,
        shop=shop.name,
        intents=(),
        exceptions=tuple(_race(shop, each) for each in races),
        considered=len(races),
    )


def _race(shop: Shop, each: dict[str, Any]) -> ExceptionPlan:
    cancelled, other, proposal = _RACES[each["race"]]
    units = f", {each['units']} unit(s)" if each["units"] else ""
    happened = each["happened"] or ""
    return ExceptionPlan(
        shop=shop.name,
        type="CANCEL_RACE",
        entity={"order_id": each["order_id"]},
        cause=each["race"],
        message=f"Order {each['order_id']} ({each['order_state']}) was {cancelled} ({_when(each['cancelled_at'])}) and {other} "
        f"({_when(each['other_at'])}{units}{': ' if happened else ''}{happened}). Proposed final state: {proposal}.",
        amount_minor=each["amount_minor"],
        currency=each["currency"],
        evidence={
            "cancelled_at": each["cancelled_at"].isoformat() if each["cancelled_at"] else "",
            "other_at": each["other_at"].isoformat() if each["other_at"] else "",
            "warehouse_status": each["warehouse_status"] or "",
            "proposal": proposal,
        },
        root_cause="validation",
        happened=happened,
    )


def _when(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "time not known"
