"""When a refund may leave, by policy: one world of returns in every stage, asked under each policy."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.lanes.plan import ExceptionPlan, LaneDecision
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows

HOURS = 100
SHIPPED, RECEIVED = NOW + timedelta(hours=10), NOW + timedelta(hours=30)
BEGINS = {"requested": NOW, "carrier_scan": SHIPPED, "received": RECEIVED}
LATE = RECEIVED + timedelta(hours=HOURS)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreRows]:
    world = CoreRows.make(tmp_path_factory.mktemp("policies"))

    def returned(name: str, units: int = 1, price: int = 1000, state: str = "RECEIVED", **seen: datetime) -> None:
        order_id = f"O-{name}"
        world.order(order_id, state, (("A", units, price),))
        world.returned(f"R-{name}", order_id, lines=((f"{order_id}-1", units),), created_at=NOW)
        world.on_platform(f"R-{name}", f"P-{name}", order_id=order_id, **seen)

    returned("announced")
    returned("scanned", shipped_at=SHIPPED)
    returned("unscanned", received_at=RECEIVED)
    returned("arrived", shipped_at=SHIPPED, received_at=RECEIVED)
    returned("twice", shipped_at=SHIPPED, received_at=RECEIVED)
    world.returned("R-twice2", "O-twice", lines=(("O-twice-1", 1),), created_at=NOW + timedelta(hours=1))
    world.on_platform("R-twice2", "P-twice2", order_id="O-twice", shipped_at=SHIPPED, received_at=RECEIVED)
    for condition in ("Damaged", "Wrong item", "Missing", "Slightly odd"):
        name = condition.replace(" ", "").lower()
        returned(name, units=2, shipped_at=SHIPPED, received_at=RECEIVED)
        world.inspected(
            f"C-{name}", f"O-{name}", "A", condition=condition, reusable=False, returned_at=NOW + timedelta(hours=31)
        )
    returned("paid", received_at=RECEIVED)
    world.inspected("C-paid", "O-paid", "A", returned_at=NOW)
    world.refunded("F-paid", "O-paid-1", 1000)
    returned("halfpaid", units=2, received_at=RECEIVED)
    world.inspected("C-halfpaid", "O-halfpaid", "A", quantity=2, returned_at=NOW)
    world.refunded("F-halfpaid", "O-halfpaid-1", 500)
    returned("over", received_at=RECEIVED)
    world.inspected("C-over", "O-over", "A", returned_at=NOW)
    world.change(tables.MIRAKL_RETURNS, "return_id = 'R-over'", return_state="CLOSED")
    returned("broken", received_at=RECEIVED)
    world.inspected("C-broken", "O-broken", "A", condition="Damaged", reusable=False, returned_at=NOW)
    for name, state in (
        ("undebited", "WAITING_DEBIT"),
        ("closed", "CLOSED"),
        ("taxed", "RECEIVED"),
        ("word", "RECEIVED"),
    ):
        returned(name, units=1 if name != "taxed" else 3, state=state)
        world.inspected(f"C-{name}", f"O-{name}", "A", quantity=1 if name != "taxed" else 3, returned_at=NOW)
    world.tax("O-taxed-1", "STATE", 80, "NONE")
    world.tax("O-taxed-1", "PENNY", 1, "NONE")
    world.tax("O-taxed-1", "CITY", 20, "PROPORTIONAL_TO_AMOUNT")
    world.tax("O-taxed-1", "STATE", 66, "NONE", kind="shipping")
    world.change(tables.MIRAKL_RETURN_LINES, "return_id = 'R-word'", reason_code="RETURN_NEW_WORD")
    world.assign()
    yield world
    world.con.close()


def _units(decision: LaneDecision) -> dict[str, str]:
    """Return what is refunded: unit to what it stands on, of the orders that were not inspected."""
    return {
        plan.natural_key.removeprefix("O-"): plan.evidence["evidence_class"]
        for plan in decision.intents
        if plan.evidence["evidence_class"] != "INSPECTED"
    }


def _of(decision: LaneDecision, name: str) -> list[ExceptionPlan]:
    return [plan for plan in decision.exceptions if plan.entity["return_id"] == f"R-{name}"]


@pytest.mark.proves("C1", "R66")
@pytest.mark.parametrize(
    ("trigger", "refunded"),
    [
        ("inspected", {}),
        ("received", {"unscanned-1#1": "RECEIVED", "arrived-1#1": "RECEIVED", "twice-1#1": "RECEIVED"}),
        (
            "carrier_scan",
            {
                "scanned-1#1": "CARRIER_SCAN",
                "unscanned-1#1": "RECEIVED",
                "arrived-1#1": "RECEIVED",
                "twice-1#1": "RECEIVED",
            },
        ),
    ],
)
def test_the_trigger_ladder(core: CoreRows, trigger: str, refunded: dict[str, str]) -> None:
    found = _units(core.under("refunds", LATE, refund_trigger=trigger))
    # of a parcel that came in part, the unit nobody saw is refunded on the parcel's receipt where that is enough
    assert {unit: stands_on for unit, stands_on in found.items() if unit[-3:] != "1#2"} == refunded


@pytest.mark.proves("R53", "C1")
@pytest.mark.parametrize("start", list(BEGINS))
def test_the_clock_starts_where_the_policy_says_and_tells_three_times(core: CoreRows, start: str) -> None:
    def told(hours: float) -> list[tuple[str, str, str]]:
        now = BEGINS[start] + timedelta(hours=hours)
        decision = core.under("refunds", now, refund_deadline_from=start, refund_deadline_hours=HOURS)
        return [(plan.type, plan.cause, plan.severity) for plan in _of(decision, "arrived")]

    assert told(49) == []
    assert told(50) == [("REFUND_DUE_SOON", "deadline", "medium")]
    assert told(80) == [("REFUND_DUE_SOON", "deadline", "")]
    assert told(100) == [("REFUND_OVERDUE", "deadline", "")]


@pytest.mark.proves("R53")
def test_a_parcel_that_arrived_without_a_scan_has_a_clock_all_the_same(core: CoreRows) -> None:
    decision = core.under("refunds", LATE, refund_deadline_from="carrier_scan", refund_deadline_hours=HOURS)
    assert [plan.due_at for plan in _of(decision, "unscanned")] == [LATE]
    assert _of(decision, "announced") == []


@pytest.mark.proves("R53")
def test_the_clock_runs_until_every_unit_is_refunded_and_for_none_that_is_not_to_be(core: CoreRows) -> None:
    decision = core.under("refunds", LATE, refund_deadline_hours=HOURS)
    late = {
        plan.entity["return_id"]: plan.amount_minor for plan in decision.exceptions if plan.type == "REFUND_OVERDUE"
    }
    assert late["R-halfpaid"] == 500, "what is still owed of it"
    assert not {"R-paid", "R-over", "R-broken"} & set(late)


@pytest.mark.proves("C1", "R53")
@pytest.mark.parametrize(
    ("start", "now", "forced"),
    [
        ("received", LATE, {"unscanned-1#1", "arrived-1#1", "twice-1#1"}),
        ("received", LATE - timedelta(minutes=1), set()),
        ("carrier_scan", LATE, {"scanned-1#1", "unscanned-1#1", "arrived-1#1", "twice-1#1"}),
        ("requested", LATE, {"announced-1#1", "scanned-1#1", "unscanned-1#1", "arrived-1#1", "twice-1#1"}),
    ],
)
def test_at_the_deadline_what_nobody_inspected_is_refunded_and_says_so(
    core: CoreRows, start: str, now: datetime, forced: set[str]
) -> None:
    policy = {"refund_deadline_from": start, "refund_deadline_hours": HOURS}
    decision = core.under("refunds", now, refund_at_deadline="refund", **policy)
    assert _units(decision) == dict.fromkeys(forced, "SLA_FORCED")
    assert _units(core.under("refunds", now, refund_at_deadline="escalate", **policy)) == {}
    late = {plan.entity["return_id"] for plan in decision.exceptions if plan.type == "REFUND_OVERDUE"}
    assert {f"R-{unit.partition('-')[0]}" for unit in forced} <= late, "and its owner is told all the same"


@pytest.mark.proves("C1", "R68")
@pytest.mark.parametrize("name", ["damaged", "wrongitem", "missing", "slightlyodd"])
def test_the_deadline_refunds_nothing_of_a_parcel_that_was_inspected(core: CoreRows, name: str) -> None:
    decision = core.under("refunds", LATE, refund_at_deadline="refund", refund_deadline_hours=1)
    assert not [plan for plan in decision.intents if plan.return_id == f"R-{name}"]


@pytest.mark.proves("C2")
def test_an_unmapped_reason_is_due_when_the_refund_is(core: CoreRows) -> None:
    decision = core.under("refunds", refund_deadline_from="requested", refund_deadline_hours=48)
    assert [(plan.type, plan.due_at) for plan in _of(decision, "word")] == [
        ("REASON_UNMAPPED", NOW + timedelta(hours=48))
    ]


@pytest.mark.proves("R102")
def test_an_order_not_paid_yet_is_told_to_be_cancelled_and_a_closed_one_to_be_asked_for(core: CoreRows) -> None:
    decision = core.under("refunds")
    (undebited,), (closed,) = _of(decision, "undebited"), _of(decision, "closed")
    assert (undebited.type, undebited.cause) == ("REFUND_REJECTED_STATE", "WAITING_DEBIT")
    assert (closed.type, closed.cause) == ("REFUND_REJECTED_STATE", "CLOSED")
    assert "OR30" in undebited.message
    assert "operator" in closed.message


@pytest.mark.proves("R50")
def test_a_partial_refund_the_operator_forbids_is_told_before_it_is_sent(core: CoreRows) -> None:
    forbidden = core.under("refunds", LATE, partial_refunds="not_allowed", refund_trigger="received")
    refunded = {plan.natural_key for plan in forbidden.intents}
    assert "O-arrived-1#1" in refunded, "the only unit of a line is no part of it"
    assert not [key for key in refunded if key.startswith("O-taxed")]
    told = _of(forbidden, "taxed")
    assert [(plan.type, plan.cause, plan.root_cause) for plan in told] == [
        ("REFUND_REJECTED_PERMISSION", "no partial refunds", "permission")
    ] * 3
    assert not _of(core.under("refunds"), "taxed")


@pytest.mark.proves("R50")
@pytest.mark.parametrize(
    ("activated", "authorized", "is_forbidden"),
    [("true", "false", True), ("true", "true", False), ("false", "false", False)],
)
def test_a_platform_that_gives_sellers_no_refunds_is_found_in_its_configuration(
    core: CoreRows, activated: str, authorized: str, is_forbidden: bool
) -> None:
    at = "pc01.features.direct_payment_customer_store"
    core.put(tables.MIRAKL_PLATFORM, setting=f"{at}.activated", value=activated)
    core.put(tables.MIRAKL_PLATFORM, setting=f"{at}.refund_cancel_authorized", value=authorized)
    core.write()
    decision = core.under("refunds")
    core.lake.transact(core.con, "test", "clean", lambda con: con.execute(f"DELETE FROM {tables.MIRAKL_PLATFORM.path}"))
    assert bool(decision.intents) is not is_forbidden
    assert ("no refunds" in {plan.cause for plan in decision.exceptions}) is is_forbidden


@pytest.mark.proves("C12", "R60")
def test_taxes_are_named_in_every_refund_and_proportional_ones_only_by_policy(core: CoreRows) -> None:
    def sent(decision: LaneDecision) -> list[dict[str, Decimal]]:
        taxed = [plan.body["refunds"][0] for plan in decision.intents if plan.return_id == "R-taxed"]
        assert [refund["shipping_taxes"] for refund in taxed] == [[{"code": "STATE", "amount": Decimal("0.00")}]] * 3
        return [{tax["code"]: tax["amount"] for tax in refund["taxes"]} for refund in taxed]

    by_default, everything = sent(core.under("refunds")), sent(core.under("refunds", send_proportional_taxes=True))
    assert [sorted(taxes) for taxes in by_default] == [["PENNY", "STATE"]] * 3
    assert [sorted(taxes) for taxes in everything] == [["CITY", "PENNY", "STATE"]] * 3
    assert [sum(taxes[code] for taxes in everything) for code in ("CITY", "PENNY", "STATE")] == [
        Decimal("0.20"),
        Decimal("0.01"),
        Decimal("0.80"),
    ]
