"""Returns that differ between the two sides, and cancelations that crossed something, in one world each."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreRows]:
    world = CoreRows.make(tmp_path_factory.mktemp("drift"))
    long_ago, lately = NOW - timedelta(hours=30), NOW - timedelta(hours=3)

    def both(
        name: str, state: str, status: str, at: object = long_ago, *, platform_at: object = None, **seen: object
    ) -> None:
        world.order(f"O-{name}", "RECEIVED", (("A", 1, 1000),))
        world.returned(f"R-{name}", f"O-{name}", state, ((f"O-{name}-1", 1),))
        world.change(tables.MIRAKL_RETURNS, f"return_id = 'R-{name}'", updated_at=at)
        seen = {"order_id": f"O-{name}", "updated_at": platform_at or at, **seen}
        world.on_platform(f"R-{name}", f"P-{name}", status=status, **seen)

    both("same", "CLOSED", "COMPLETED")
    both("underway", "IN_PROGRESS", "SHIPPED")
    both("platformended", "IN_PROGRESS", "COMPLETED")
    both("platformcancelled", "IN_PROGRESS", "CANCELLED")
    both("platformrejected", "IN_PROGRESS", "REJECTED")
    both("justended", "IN_PROGRESS", "COMPLETED", lately)
    both("platformjustended", "IN_PROGRESS", "COMPLETED", platform_at=lately)
    both("resolvedlongago", "IN_PROGRESS", "COMPLETED", platform_at=lately, resolved_at=long_ago)
    both("marketended", "CLOSED", "RECEIVED")
    both("marketcancelled", "CANCELED", "SHIPPED")
    both("newword", "CLOSED", "NEW_WORD")
    # a return that neither the marketplace nor an order of ours knows was refunded too, in the platform's other spelling
    world.put(
        tables.REVENI_RETURNS, platform_return_id="P-unknown", order_id="O-unknown", status="COMPLETED", currency="GBP"
    )
    for name, status in (
        ("justended", "EXECUTED"),
        ("unknown", "executed"),
        ("underway", "PENDING"),
        ("newword", "FAILED"),
        ("same", "EXECUTED"),
    ):
        world.put(
            tables.REVENI_REFUNDS,
            platform_return_id=f"P-{name}",
            platform_refund_id=f"PF-{name}",
            currency="GBP",
            amount_minor=950,
            status=status,
            executed_at=lately,
        )
    world.refunded("F1", "O-same-1", 1000)

    # a line of two units, one of them returned: refunded twice, by us and by hand; and one with goodwill within its worth
    for name, amounts in (("double", (500, 500)), ("goodwill", (200, 300))):
        world.order(f"O-{name}", "RECEIVED", (("A", 2, 1000),))
        world.returned(f"R-{name}", f"O-{name}", lines=((f"O-{name}-1", 1),))
        for number, amount in enumerate(amounts):
            world.refunded(f"F-{name}-{number}", f"O-{name}-1", amount)

    def ordered(name: str, state: str, warehouse: str = "", quantity: int = 1) -> str:
        order_id = f"C-{name}"
        world.order(order_id, state, (("A", quantity, 1000),))
        world.change(tables.MIRAKL_ORDERS, f"order_id = '{order_id}'", updated_at=long_ago)
        if warehouse:
            world.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number=order_id, status=warehouse, fetched_at=lately)
        return order_id

    def despatched(order_id: str, quantity: int = 1) -> None:
        world.put(
            tables.PEOPLEVOX_DESPATCHES,
            despatch_number=f"D-{order_id}",
            sales_order_number=order_id,
            item_code="A",
            row_no=1,
            quantity=quantity,
            despatched_at=lately,
        )

    def cancelled(order_id: str, quantity: int, at: object = long_ago) -> None:
        world.put(
            tables.MIRAKL_CANCELATIONS,
            cancelation_id=f"X-{order_id}",
            order_id=order_id,
            order_line_id=f"{order_id}-1",
            quantity=quantity,
            currency="GBP",
            amount_minor=500,
            created_at=at,
        )

    despatched(ordered("sent", "CANCELED", "Despatched"))
    ordered("picked", "CANCELED", "New")
    ordered("bothcancelled", "CANCELED", "Cancelled")
    despatched(ordered("refused", "REFUSED", "Despatched"))
    justnow = ordered("justnow", "CANCELED", "New")
    world.change(tables.MIRAKL_ORDERS, f"order_id = '{justnow}'", updated_at=NOW - timedelta(hours=1))
    part = ordered("part", "SHIPPING", "Part despatched", quantity=1)
    cancelled(part, 1)
    despatched(part, 2)
    fits = ordered("fits", "SHIPPING", "Part despatched", quantity=1)
    cancelled(fits, 1)
    despatched(fits)
    linegone = ordered("linegone", "SHIPPING", "Part despatched", quantity=1)
    world.change(tables.MIRAKL_ORDER_LINES, f"order_id = '{linegone}'", line_state="CANCELED", updated_at=long_ago)
    despatched(linegone)
    ordered("lost", "SHIPPING", "Cancelled")
    ordered("bothdone", "RECEIVED", "Cancelled")
    twice = ordered("twice", "RECEIVED")
    cancelled(twice, 1)
    world.refunded("F2", "C-twice-1", 500)
    apart = ordered("apart", "RECEIVED")
    cancelled(apart, 1, NOW - timedelta(days=20))
    world.refunded("F3", "C-apart-1", 500)
    before = ordered("before", "RECEIVED")
    cancelled(before, 1, NOW)
    world.refunded("F4", "C-before-1", 500)
    world.change(tables.MIRAKL_REFUNDS, "refund_id = 'F4'", created_at=NOW - timedelta(days=20))
    world.returned("R-orphan", ordered("orphan", "CANCELED"), lines=(("C-orphan-1", 1),))
    world.returned("R-settled", ordered("settled", "CANCELED"), "REFUSED", (("C-settled-1", 1),))
    world.assign()
    yield world
    world.con.close()


@pytest.mark.proves("R38", "R55")
def test_a_return_ended_on_one_side_for_a_day_is_listed_with_both_words(core: CoreRows) -> None:
    found = {plan.entity["return_id"]: plan for plan in core.under("drift").exceptions if plan.type == "STATUS_DRIFT"}
    assert {name: plan.cause for name, plan in found.items()} == {
        "R-platformended": "platform ended",
        "R-platformcancelled": "platform ended",
        "R-platformrejected": "platform ended",
        "R-resolvedlongago": "platform ended",
        "R-marketended": "marketplace ended",
        "R-marketcancelled": "marketplace ended",
    }
    assert "COMPLETED on reveni" in found["R-platformended"].message
    assert "IN_PROGRESS on the marketplace" in found["R-platformended"].message
    later = core.under("drift", NOW + timedelta(hours=22))
    listed = {plan.entity.get("return_id") for plan in later.exceptions if plan.type == "STATUS_DRIFT"}
    assert {"R-justended", "R-platformjustended"} <= listed


@pytest.mark.proves("C4", "R51", "R3")
def test_a_refund_the_platform_made_itself_is_owned_with_or_without_the_marketplaces(core: CoreRows) -> None:
    conflicts = [plan for plan in core.under("drift").exceptions if plan.type == "REFUND_CONFLICT"]
    found = [plan for plan in conflicts if "platform_refund_id" in plan.entity]
    assert {(plan.entity["platform_refund_id"], plan.cause, plan.amount_minor) for plan in found} == {
        ("PF-justended", "refunded on the platform only", 950),
        ("PF-unknown", "refunded on the platform only", 950),
        ("PF-same", "refunded on both sides", 950),
    }


@pytest.mark.proves("R48")
def test_a_line_refunded_more_often_than_units_came_back_is_owned(core: CoreRows) -> None:
    found = [plan for plan in core.under("drift").exceptions if plan.cause == "more refunds than units"]
    assert [(plan.type, plan.entity["order_line_id"], plan.amount_minor) for plan in found] == [
        ("REFUND_CONFLICT", "O-double-1", 500)
    ]


@pytest.mark.proves("R54")
@pytest.mark.parametrize(
    ("order_id", "race", "proposal"),
    [
        ("C-sent", "despatched", "have the carrier stop the parcel"),
        ("C-refused", "despatched", "have the carrier stop the parcel"),
        ("C-picked", "in warehouse", "cancel the sales order in the warehouse"),
        ("C-part", "part despatched", "surplus sent back"),
        ("C-linegone", "part despatched", "surplus sent back"),
        ("C-lost", "warehouse cancelled", "refunded on the marketplace with reason out of stock"),
        ("C-twice", "refunded", "ask the operator to reverse one"),
        ("C-orphan", "returned", "with the return refused"),
    ],
)
def test_each_race_is_one_row_with_both_events_and_a_proposal(
    core: CoreRows, order_id: str, race: str, proposal: str
) -> None:
    (found,) = [plan for plan in core.under("cancelations").exceptions if plan.entity["order_id"] == order_id]
    assert (found.type, found.cause) == ("CANCEL_RACE", race)
    assert proposal in found.message
    times = [found.evidence["cancelled_at"], found.evidence["other_at"]]
    assert all(times)
    assert [f"{time[:10]} {time[11:16]} UTC" in found.message for time in times] == [True, True]


@pytest.mark.proves("R54")
def test_a_race_of_what_cannot_un_happen_names_its_parcels_or_refunds_and_the_lane_despatch_is_silent(
    core: CoreRows,
) -> None:
    happened = {plan.entity["order_id"]: plan.happened for plan in core.under("cancelations").exceptions}
    assert happened == {
        "C-sent": "1 x A in parcel D-C-sent",
        "C-refused": "1 x A in parcel D-C-refused",
        "C-part": "2 x A in parcel D-C-part, 1 wanted",
        "C-linegone": "1 x A in parcel D-C-linegone, 0 wanted",
        "C-twice": "refund F2",
        "C-picked": "",
        "C-lost": "",
        "C-orphan": "",
    }
    assert {plan.type for plan in core.under("despatch").exceptions} == {"DESPATCH_UNMAPPED_CARRIER"}


@pytest.mark.proves("R54")
def test_a_cancelation_that_met_nothing_is_no_race(core: CoreRows) -> None:
    found: list[ExceptionPlan] = list(core.under("cancelations").exceptions)
    quiet = {"C-bothcancelled", "C-bothdone", "C-justnow", "C-fits", "C-apart", "C-before", "C-settled"}
    assert not quiet & {plan.entity["order_id"] for plan in found}
    assert len(found) == 8
