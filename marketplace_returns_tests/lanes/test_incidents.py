"""Incidents against returns, in one world: what is resolved, and what somebody must look at."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.lanes import LANES
from marketplace_returns.lanes.plan import LaneDecision
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows

MAPPED, UNMAPPED = "3", "6"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreRows]:
    world = CoreRows.make(tmp_path_factory.mktemp("incidents"))

    def line(
        name: str,
        reason: str = MAPPED,
        state: str = "INCIDENT_OPEN",
        at: timedelta = timedelta(hours=72),
        units: int = 1,
    ) -> None:
        world.order(f"O-{name}", "RECEIVED", (("A", units, 1000),))
        world.change(
            tables.MIRAKL_ORDER_LINES,
            f"order_line_id = 'O-{name}-1'",
            line_state=state,
            line_state_reason_code=reason if state == "INCIDENT_OPEN" else None,
            updated_at=NOW - at,
        )

    def returned(
        name: str, state: str = "CLOSED", *, inspected: str = "NEW", refunded: bool = True, ago: int = 2
    ) -> None:
        world.returned(f"R-{name}", f"O-{name}", state, ((f"O-{name}-1", 1),))
        world.change(tables.MIRAKL_RETURNS, f"return_id = 'R-{name}'", updated_at=NOW - timedelta(hours=ago))
        if inspected:
            world.inspected(f"C-{name}", f"O-{name}", "A", condition=inspected, reusable=inspected == "NEW")
        if refunded:
            world.refunded(f"F-{name}", f"O-{name}-1", 1000)

    line("done")
    returned("done")
    line("platformdone")
    returned("platformdone", "RECEIVED")
    world.on_platform("R-platformdone", "P1", status="COMPLETED", resolved_at=NOW - timedelta(hours=1))
    line("stuck")
    returned("stuck", ago=30)
    line("unmapped", UNMAPPED)
    returned("unmapped")
    line("rejected")
    returned("rejected", inspected="Damaged", refunded=False)
    line("unpaid")
    returned("unpaid", refunded=False)
    line("withdrawn")
    returned("withdrawn", "CANCELED", inspected="", refunded=False)
    line("half", units=2)
    returned("half")
    world.returned("R-half2", "O-half", "IN_PROGRESS", (("O-half-1", 1),))
    line("running")
    returned("running", "IN_PROGRESS", inspected="", refunded=False)
    line("alone")
    line("fresh", at=timedelta(hours=1))
    line("byhand", state="REFUNDED")
    returned("byhand", "IN_PROGRESS", inspected="")
    line("ours", state="REFUNDED")
    returned("ours", "RECEIVED")
    world.assign()
    yield world
    world.con.close()


@pytest.fixture(scope="module")
def decision(core: CoreRows) -> LaneDecision:
    return LANES["incidents"](core.con, core.shop, core.mappings, NOW)


@pytest.mark.proves("R49")
def test_the_incident_of_a_closed_and_refunded_return_is_resolved_with_the_mapped_reason(
    decision: LaneDecision,
) -> None:
    assert {str(plan.kind) for plan in decision.intents} == {"resolve_incident"}
    assert {plan.natural_key: plan.body for plan in decision.intents} == {
        f"O-{name}-1": {"order_id": f"O-{name}", "order_line_id": f"O-{name}-1", "reason_code": "11"}
        for name in ("done", "platformdone", "stuck")
    }


@pytest.mark.proves("R49", "R55")
def test_every_other_difference_of_incident_and_return_has_an_owner(decision: LaneDecision) -> None:
    assert {plan.type for plan in decision.exceptions} == {"INCIDENT_DRIFT"}
    assert {plan.entity["order_id"].removeprefix("O-"): plan.cause for plan in decision.exceptions} == {
        "stuck": "open after return closed",
        "unmapped": f"reason {UNMAPPED}",
        "rejected": "return closed without refund",
        "unpaid": "return closed without refund",
        "alone": "no return",
        "withdrawn": "no return",
        "byhand": "refunded, return open",
    }


@pytest.mark.proves("R49")
@pytest.mark.parametrize("policy", [{"refund_trigger": "carrier_scan"}, {"refund_at_deadline": "refund"}])
def test_a_refund_the_policy_itself_makes_before_inspection_is_no_drift(core: CoreRows, policy: dict[str, str]) -> None:
    early = core.under("incidents", **policy)
    assert "refunded, return open" not in {plan.cause for plan in early.exceptions}
