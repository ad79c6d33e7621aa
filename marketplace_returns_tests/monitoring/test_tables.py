"""What each monitoring table shows, and which of its rows somebody owns."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.mappings import load_mappings
from marketplace_returns.monitoring import TABLES
from marketplace_returns.monitoring.checklist import CADENCES, ITEMS, judge
from marketplace_returns.monitoring.readers import READERS
from marketplace_returns.monitoring.watch import look, meaning
from marketplace_returns.settings import Tolerances
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP
from marketplace_returns_tests.monitoring.conftest import HOUR, Watched

DAY = timedelta(days=1)
MANUALS = {
    "operations": "operations.md",
    "finance": "finance.md",
    "customer_experience": "care.md",
    "warehouse": "warehouse.md",
}


def despatched(world: Watched, order_id: str = "O1", quantity: int = 1, item: str = "SKU-A") -> None:
    world.core.put(
        tables.PEOPLEVOX_DESPATCHES,
        despatch_number=f"D-{order_id}",
        sales_order_number=order_id,
        item_code=item,
        row_no=1,
        quantity=quantity,
        carrier="DPD",
        despatched_at=NOW - 5 * HOUR,
    )


def test_every_table_says_what_a_row_is_and_is_empty_in_an_empty_world(world: Watched) -> None:
    world.core.assign()
    for name in TABLES:
        assert meaning(name).startswith("One row")
        rows = world.look(name)
        assert name in {"stock_sync", "mapping_review"} or rows == [], name


@pytest.mark.proves("R89", "R96")
def test_every_shippable_order_is_in_the_warehouse_excepted_on_its_way_or_missing(world: Watched) -> None:
    for order_id in ("IN", "EXCEPTED", "FRESH", "LOST"):
        world.core.order(order_id, "SHIPPING")
    world.core.order("DONE", "RECEIVED")
    world.core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number="IN", status="New")
    world.core.change(tables.MIRAKL_ORDERS, "order_id <> 'FRESH'", customer_debited_at=NOW - 5 * HOUR)
    world.core.change(tables.MIRAKL_ORDERS, "order_id = 'FRESH'", customer_debited_at=NOW - HOUR / 2)
    world.case("SKU_UNMAPPED", entity={"order_id": "EXCEPTED"})
    rows = {row["order_id"]: row for row in world.look("order_coverage")}
    assert {order_id: row["state"] for order_id, row in rows.items()} == {
        "IN": "in_warehouse",
        "EXCEPTED": "excepted",
        "FRESH": "on_its_way",
        "LOST": "missing",
    }
    (alarm,) = world.alarms("order_coverage")
    assert (alarm.type, alarm.entity, alarm.amount_minor) == ("WMS_ORDER_MISSING", {"order_id": "LOST"}, 2500)
    # once it is in the queue it stays there, as covered, until the order shows
    world.case("WMS_ORDER_MISSING", entity={"order_id": "LOST"}, lane="monitoring/order_coverage")
    assert {row["order_id"]: row["state"] for row in world.look("order_coverage")}["LOST"] == "excepted"
    assert [alarm.entity["order_id"] for alarm in world.alarms("order_coverage")] == ["LOST"]


@pytest.mark.proves("R12", "R84")
def test_stock_that_is_not_read_or_not_pushed_in_time_is_stale(world: Watched) -> None:
    world.has_units = True
    world.core.order()
    world.look("stock_sync")
    assert [alarm.cause for alarm in world.alarms("stock_sync")] == ["reading"]
    world.read("peoplevox/stock", NOW - HOUR / 6)
    assert world.alarms("stock_sync") == []
    world.write("push_stock", "SKU-A@1", "CONFIRMED", confirmed_at=NOW - 2 * HOUR)
    world.write("push_stock", "SKU-A@2", "PLANNED", planned_at=NOW - 2 * HOUR)
    (alarm,) = world.alarms("stock_sync")
    assert (alarm.type, alarm.cause) == ("STOCK_STALE", "push")
    assert "waits" in alarm.message or "wait," in alarm.message
    (row,) = world.look("stock_sync")
    assert (row["push_age_minutes"], row["oldest_waiting_minutes"]) == (120, 120)
    assert world.alarms("stock_sync", NOW + HOUR)[0].cause == "reading"


@pytest.mark.proves("R12")
def test_the_oldest_restock_that_waits_is_told(world: Watched) -> None:
    world.has_units = True
    world.core.order()
    world.core.returned()
    world.core.inspected(returned_at=NOW - 3 * HOUR)
    world.write("push_stock", "SKU-A@1", "PLANNED", planned_at=NOW - 2 * HOUR, evidence='{"item_code": "SKU-A"}')
    (row,) = world.look("stock_sync")
    assert (row["restocks_waiting"], row["oldest_restock_minutes"]) == (1, 180)


@pytest.mark.proves("R83")
def test_an_offer_that_differs_with_no_push_on_its_way_has_drifted(world: Watched) -> None:
    long_ago = NOW - DAY
    world.core.put(tables.MIRAKL_OFFERS, offer_sku="SKU-A", quantity=9, currency="GBP", fetched_at=long_ago)
    world.core.put(
        tables.PEOPLEVOX_STOCK, item_code="SKU-A", site="*", available=4, is_listed=True, fetched_at=long_ago
    )
    world.look("stock_drift")
    world.read("mirakl/offer", NOW - 3 * HOUR)
    (alarm,) = world.alarms("stock_drift")
    assert (alarm.type, alarm.entity) == ("STOCK_DRIFT", {"offer_sku": "SKU-A"})
    assert "has 9 on sale and the warehouse 4" in alarm.message
    world.write("push_stock", "SKU-A@1", "PLANNED", body='{"offer_sku": "SKU-A", "quantity": 4}')
    assert world.alarms("stock_drift") == []


@pytest.mark.proves("R87", "R88")
def test_the_catalogue_audit_finds_each_kind_of_difference_both_ways(world: Watched) -> None:
    for sku in ("SAME", "Case-1", "BLANK 1", "GONE", "TWIN", "twin"):
        world.core.put(tables.MIRAKL_OFFERS, offer_sku=sku, quantity=1, currency="GBP")
    assert world.look("sku_audit") == []  # the warehouse's catalogue was never read: nothing is known
    for item in ("SAME", "CASE-1", "BLANK1", "TWIN", "ONLY-HERE"):
        world.core.put(tables.PEOPLEVOX_ITEM_TYPES, item_code=item)
    found = {(row["difference"], row["offer_sku"], row["item_code"]) for row in world.look("sku_audit")}
    assert found == {
        ("case", "Case-1", "CASE-1"),
        ("case", "twin", "TWIN"),
        ("whitespace", "BLANK 1", "BLANK1"),
        ("missing", "GONE", "GONE"),
        ("duplicate", "TWIN, twin", "TWIN"),
        ("extra", "", "ONLY-HERE"),
    }
    alarms = world.alarms("sku_audit")
    assert {alarm.type for alarm in alarms} == {"SKU_AUDIT_DIFF"}
    assert len(alarms) == len(found)
    assert any("declare it as policy.product_master" in alarm.message for alarm in alarms)


@pytest.mark.proves("R72", "R92", "R119")
def test_what_left_unconfirmed_and_what_was_confirmed_without_leaving_are_listed_and_put_at_risk(
    world: Watched,
) -> None:
    world.core.order("LEFT", "SHIPPING", (("SKU-A", 2, 5000),))
    world.core.order("SHOWN", "SHIPPED", (("SKU-B", 1, 700),))
    world.core.order("BOTH", "SHIPPED", (("SKU-C", 1, 900),))
    despatched(world, "LEFT", 1)
    despatched(world, "BOTH", 1, "SKU-C")
    world.case("DESPATCH_UNMAPPED_CARRIER", "despatch_team", entity={"order_id": "LEFT"})
    world.write(
        "refund", "L#1", "PLANNED", return_unit_id="L#1", amount_minor=1200, currency="GBP", root_cause="balance"
    )
    rows = {row["order_id"]: row for row in world.look("despatch_vs_shipped")}
    assert {order_id: row["state"] for order_id, row in rows.items()} == {
        "LEFT": "DESPATCHED_NOT_SHIPPED",
        "SHOWN": "SHIPPED_NOT_DESPATCHED",
    }
    assert (rows["LEFT"]["value_minor"], rows["LEFT"]["age_hours"], rows["LEFT"]["owner"]) == (2500, 5, "despatch_team")
    at_risk = world.look("payout_at_risk")
    assert [(row["kind"], row["amount_minor"], row["owner"]) for row in at_risk] == [
        ("despatched_not_confirmed", 2500, "despatch_team"),
        ("refund_waiting_for_balance", 1200, "finance"),
    ]


@pytest.mark.proves("R101", "R119")
def test_at_risk_are_the_refunds_that_wait_for_balance_and_no_others_each_with_its_age(world: Watched) -> None:
    world.core.order("LEFT", "SHIPPING", (("SKU-A", 2, 5000),))
    despatched(world, "LEFT", 1)
    for key, state, root_cause, hours in (
        ("PARKED#1", "PLANNED", "balance", 9),
        ("REFUSED#1", "REJECTED", "balance", 30),
        ("PAID#1", "CONFIRMED", "balance", 9),
        ("SLOW#1", "PLANNED", "time-out", 9),
        ("WRONG#1", "REJECTED", "validation", 9),
    ):
        world.write(
            "refund",
            key,
            state,
            return_unit_id=key,
            amount_minor=hours * 100,
            currency="GBP",
            root_cause=root_cause,
            planned_at=NOW - hours * HOUR,
        )
    at_risk = world.look("payout_at_risk")
    assert [(row["reference"], row["amount_minor"], row["age_hours"]) for row in at_risk] == [
        ("REFUSED#1", 3000, 30),
        ("LEFT-1", 2500, 5),
        ("PARKED#1", 900, 9),
    ]


@pytest.mark.proves("R30")
def test_a_return_that_could_not_be_created_is_listed_with_age_cause_and_next_try(world: Watched) -> None:
    world.has_units = True
    world.core.order()
    world.core.returned("R1", created_at=NOW - 6 * HOUR)
    world.core.returned("R2", created_at=NOW - 2 * HOUR)
    world.core.returned("R3")
    world.write(
        "create_platform_return",
        "R1",
        "PLANNED",
        return_id="R1",
        root_cause="time-out",
        last_error="no answer",
        not_before=NOW + HOUR,
    )
    world.case("REASON_UNMAPPED", entity={"return_id": "R2"}, root_cause="mapping", message="no row")
    rows = world.look("failed_return_creations")
    assert [(row["return_id"], row["cause"], row["age_hours"], row["next_try_at"]) for row in rows] == [
        ("R1", "time-out", 6, NOW + HOUR),
        ("R2", "mapping", 2, None),
    ]


@pytest.mark.proves("R31")
def test_a_receipt_the_marketplace_does_not_show_in_time_is_overdue(world: Watched) -> None:
    world.has_units = True
    world.core.order()
    world.core.returned()
    world.core.inspected(returned_at=NOW - 7 * HOUR)
    world.write("receive_return", "R1", "REJECTED", return_id="R1", last_error="not allowed")
    world.write("link_return", "R9", "CONFIRMED", return_id="R9", confirmed_at=NOW - 8 * HOUR)
    rows = world.look("overdue_reflections")
    assert [(row["fact"], row["return_id"], row["age_hours"], row["write_state"]) for row in rows] == [
        ("written", "R9", 8, "CONFIRMED"),
        ("received", "R1", 7, "REJECTED"),
    ]
    assert [row["fact"] for row in world.look("overdue_reflections", NOW - 2 * HOUR)] == []


@pytest.mark.proves("R21", "R45")
def test_failures_are_told_apart_by_root_cause(world: Watched) -> None:
    world.core.order()
    world.write("refund", "L#1", "UNKNOWN", root_cause="time-out", last_error="no answer")
    world.write("confirm_despatch", "O1", "REJECTED", root_cause="mapping", last_error="carrier unknown")
    world.write("confirm_despatch", "O2", "REJECTED", root_cause="mapping", last_error="carrier unknown")
    world.write("accept_order", "O3", "REFLECTED")
    world.case("AUTH_FAILED", lane="source/mirakl/order", root_cause="auth", message="401")
    rows = {(row["root_cause"], row["what"]): row["failures"] for row in world.look("failure_causes")}
    assert rows == {("mapping", "confirm_despatch"): 2, ("time-out", "refund"): 1, ("auth", "AUTH_FAILED"): 1}


@pytest.mark.proves("R100")
def test_a_new_value_and_a_new_field_are_one_exception_each(world: Watched) -> None:
    world.core.order("O1", "TELEPORTED")
    world.core.order("O2", "TELEPORTED")
    for number, (fetched_at, body) in enumerate(
        [
            (NOW - 9 * DAY, '{"order_id": 1}'),
            (NOW - DAY, '{"order_id": 1, "gift": true}'),
            (NOW - HOUR, '{"order_id": 2, "gift": false}'),
        ]
    ):
        world.core.put(
            tables.PAYLOADS,
            source="mirakl",
            object_type="order",
            object_id=str(number),
            content_hash=str(number),
            body=body,
            fetched_at=fetched_at,
        )
    alarms = world.alarms("new_values")
    assert [(alarm.type, alarm.entity["place"], alarm.entity["value"]) for alarm in alarms] == [
        ("ENUM_NEW", "line_state", "TELEPORTED"),
        ("ENUM_NEW", "order_state", "TELEPORTED"),
        ("ENUM_NEW", "order", "gift"),
    ]
    assert alarms == world.alarms("new_values")


@pytest.mark.proves("R100")
@pytest.mark.parametrize(
    ("table", "place", "column"),
    [
        (tables.MIRAKL_REFUNDS, "refund_state", "refund_state"),
        (tables.MIRAKL_RETURNS, "return_state", "return_state"),
        (tables.MIRAKL_TRANSACTIONS, "payment_state", "payment_state"),
        (tables.MIRAKL_BILLING_CYCLES, "pay_out_state", "pay_out_state"),
        (tables.REVENI_RETURNS, "return_status", "status"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_each_state_a_source_sends_is_held_against_the_known_ones(
    world: Watched, table: tables.Table, place: str, column: str
) -> None:
    world.core.attach()
    assert world.alarms("new_values") == []
    known = world.core.con.execute("SELECT value FROM watch.known_values WHERE place = ?", [place]).fetchall()
    key = table.key[-1]
    for number, (value,) in enumerate([*(known or [("COMPLETED",)]), ("TELEPORTED",), ("TELEPORTED",)]):
        world.core.put(table, **{key: f"K{number}", column: value})
    (alarm,) = world.alarms("new_values")
    assert (alarm.type, alarm.entity["place"], alarm.entity["value"].upper()) == ("ENUM_NEW", place, "TELEPORTED")
    assert alarm.evidence["seen"] == 2


@pytest.mark.proves("R70", "R34")
def test_the_mapping_review_counts_used_new_unused_and_unmapped_codes(world: Watched) -> None:
    world.has_units = True
    world.core.order()
    world.core.returned("R1", reason="RETURN_ITCHY")
    world.core.returned("R2", lines=(("O1-1", 1),), reason="RETURN_OTHER")
    world.core.inspected(condition="NEW")
    rows = {(row["mapping_table"], row["flow"], row["source_code"]): row for row in world.look("mapping_review")}
    assert rows["reasons", "refund", "RETURN_ITCHY"]["state"] == "unmapped"
    assert rows["reasons", "refund", "RETURN_ITCHY"]["example"] == "R1"
    assert rows["reasons", "create_return", "RETURN_OTHER"]["state"] == "new"
    assert rows["reasons", "refund", "RETURN_WARRANTY"]["state"] == "unused"
    assert rows["dispositions", "", "new|true"]["seen"] == 1
    assert world.look("mapping_review", NOW + 60 * DAY)[0]["state"] == "unmapped"
    by = {row["given_by"]: row for row in world.look("reason_quality")}
    assert (by["customer"]["reasons"], by["customer"]["other"], by["customer"]["unmapped"]) == (2, 1, 1)
    assert str(by["customer"]["other_percent"]) == "50.0"


@pytest.mark.proves("R95", "R80", "R77")
def test_weeks_show_what_endangers_the_rating_and_how_returns_fare(world: Watched) -> None:
    world.has_units = True
    for order_id in ("O1", "O2", "O3", "O4"):
        world.core.order(order_id)
    monday = NOW - timedelta(hours=8)
    world.core.change(tables.MIRAKL_ORDERS, "true", created_at=monday - 3 * DAY, shipping_deadline_at=monday - DAY / 2)
    world.core.change(tables.MIRAKL_ORDERS, "order_id = 'O1'", acceptance_decided_at=monday - DAY)
    world.core.change(tables.MIRAKL_ORDER_LINES, "true", shipped_at=monday - DAY)
    world.core.change(tables.MIRAKL_ORDER_LINES, "order_id = 'O2'", shipped_at=monday)
    world.core.change(tables.MIRAKL_ORDER_LINES, "order_id = 'O3'", line_state="CANCELED")
    world.core.returned(order_id="O4", lines=(("O4-1", 1),), created_at=NOW - 10 * HOUR)
    world.core.inspected(order_id="O4", returned_at=NOW - 6 * HOUR)
    world.core.refunded(line_id="O4-1")
    world.core.change(tables.MIRAKL_REFUNDS, "true", created_at=NOW - 4 * HOUR, paid_at=NOW - 2 * HOUR)
    world.case("RECEIPT_SHORT", entity={"order_id": "O4"}, resolved_at=NOW, was_closed_by_hand=True)
    world.case("WMS_ORDER_MISSING", entity={"order_id": "O1"}, resolved_at=NOW, resolution="cleared by facts")
    (week,) = world.look("seller_metrics")
    assert (week["orders"], week["late_acks"], week["late_ships"], week["cancelled"]) == (4, 1, 1, 1)
    assert (week["refund_hours_p50"], week["late_refunds"]) == (4, 0)
    trends = {row["week"]: row for row in world.look("trends")}
    ordered = trends[min(trends)]
    assert (ordered["orders"], ordered["returned_units"], str(ordered["return_percent"])) == (3, 1, "33.3")
    assert str(ordered["touchless_percent"]) == "66.7"
    this = trends[max(trends)]
    assert (this["refunds"], this["refund_hours_p50"], this["exceptions_opened"]) == (1, 8, 2)


def _penalty(world: Watched, number: int, order_id: str | None) -> None:
    world.core.put(
        tables.MIRAKL_TRANSACTIONS,
        transaction_id=f"T{number}",
        transaction_type="SELLER_PENALTY_FEE",
        payment_state="PENDING",
        currency="GBP",
        amount_minor=-500,
        order_id=order_id,
    )


@pytest.mark.proves("R118")
def test_a_penalty_fee_names_the_late_step_that_caused_it_and_its_owner(world: Watched) -> None:
    world.has_units = True
    for order_id in ("LATE-ACK", "LATE-SHIP", "FINE"):
        world.core.order(order_id)
    deadline = NOW - DAY
    world.core.change(tables.MIRAKL_ORDERS, "true", created_at=NOW - 4 * DAY, shipping_deadline_at=deadline)
    world.core.change(tables.MIRAKL_ORDERS, "order_id = 'LATE-ACK'", acceptance_decided_at=NOW - 2 * DAY)
    world.core.change(tables.MIRAKL_ORDER_LINES, "true", shipped_at=deadline - HOUR)
    world.core.change(tables.MIRAKL_ORDER_LINES, "order_id = 'LATE-SHIP'", shipped_at=deadline + 3 * HOUR)
    for number, order_id in enumerate(("LATE-ACK", "LATE-SHIP", "FINE", None)):
        _penalty(world, number, order_id)
    world.case("DESPATCH_REJECTED", "despatch_team", entity={"order_id": "LATE-SHIP"}, resolved_at=NOW)
    rows = {row["transaction_id"]: row for row in world.look("penalties")}
    assert [(rows[f"T{n}"]["late_step"], rows[f"T{n}"]["hours_late"], rows[f"T{n}"]["owner"]) for n in range(4)] == [
        ("acceptance", 24, "operations"),
        ("despatch", 3, "despatch_team"),
        ("unexplained", None, "finance"),
        ("unexplained", None, "finance"),
    ]
    assert rows["T1"]["exception_id"] == 1


@pytest.mark.proves("R118")
def test_of_several_late_steps_the_first_is_named_and_the_one_who_was_late_owns_it(world: Watched) -> None:
    world.has_units = True
    expected = {
        "UNCONFIRMED": ("despatch", "operations"),
        "LEFT-LATE": ("despatch", "warehouse"),
        "UNPAID": ("refund", "customer_experience"),
        "ALL-LATE": ("acceptance", "operations"),
        "REFUSED": ("acceptance", "operations"),
    }
    deadline, long_ago = NOW - 20 * DAY, NOW - 30 * DAY
    for number, order_id in enumerate(expected):
        world.core.order(order_id, "REFUSED" if order_id == "REFUSED" else "RECEIVED")
        _penalty(world, number, order_id)
        left_at = deadline + HOUR if order_id in {"LEFT-LATE", "ALL-LATE"} else deadline - HOUR
        shipped_at = deadline - HOUR if order_id == "UNPAID" else deadline + 2 * HOUR
        despatched(world, order_id)
        world.core.change(tables.PEOPLEVOX_DESPATCHES, f"sales_order_number = '{order_id}'", despatched_at=left_at)
        world.core.change(tables.MIRAKL_ORDER_LINES, f"order_id = '{order_id}'", shipped_at=shipped_at)
    world.core.change(
        tables.MIRAKL_ORDERS,
        "true",
        created_at=long_ago,
        acceptance_decided_at=long_ago + HOUR,
        shipping_deadline_at=deadline,
    )
    world.core.change(tables.MIRAKL_ORDERS, "order_id = 'ALL-LATE'", acceptance_decided_at=long_ago + 2 * DAY)
    world.core.change(tables.MIRAKL_ORDERS, "order_id = 'REFUSED'", acceptance_decided_at=None)
    for order_id in ("UNPAID", "ALL-LATE"):
        world.core.returned(f"R-{order_id}", order_id, lines=((f"{order_id}-1", 1),), created_at=NOW - 19 * DAY)
        world.core.inspected(f"C-{order_id}", order_id, returned_at=NOW - 15 * DAY)
    world.case("STATUS_DRIFT", "somebody_else", entity={"order_id": "ALL-LATE"})
    rows = {row["order_id"]: (row["late_step"], row["owner"]) for row in world.look("penalties")}
    assert rows == expected


@pytest.mark.proves("R5", "R58", "I12")
def test_the_commission_given_back_is_held_against_the_contract(
    world: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of each line was refunded: a full rule gives half the commission back, rounded half-even; none gives nothing."""
    credited = {
        "RIGHT": 187,
        "MISSING": 0,
        "SHORT": 100,
        "PENNY": 188,
        "NONE": 0,
        "GIVEN": 50,
        "SOME": 90,
        "TOO-MUCH": 375,
        "SHIPPED": 219,
    }
    categories = {"NONE": "kept", "GIVEN": "kept", "SOME": "shared", "TOO-MUCH": "shared"}
    for order_id, amount in credited.items():
        line_id = f"{order_id}-1"
        world.core.order(order_id)
        world.core.change(
            tables.MIRAKL_ORDER_LINES,
            f"order_line_id = '{line_id}'",
            commission_fee_minor=375,
            category_code=categories.get(order_id, "tops"),
            shipping_price_minor=500 if order_id == "SHIPPED" else 0,
        )
        world.core.put(
            tables.MIRAKL_REFUNDS,
            refund_id=order_id,
            order_id=order_id,
            order_line_id=line_id,
            currency="GBP",
            amount_minor=1250,
            shipping_amount_minor=500 if order_id == "SHIPPED" else 0,
        )
        for kind, booked in (("REFUND_ORDER_AMOUNT", -1250), ("REFUND_COMMISSION_FEE", amount)):
            if booked:
                world.core.put(
                    tables.MIRAKL_TRANSACTIONS,
                    transaction_id=f"{order_id}-{kind}",
                    transaction_type=kind,
                    payment_state="PENDING",
                    currency="GBP",
                    amount_minor=booked,
                    order_id=order_id,
                    order_line_id=line_id,
                    refund_id=order_id,
                    created_at=NOW,
                )
    rates = "shop,category,valid_from,rate,credit_on_refund"
    (tmp_path / "commission_rates.csv").write_text(
        f"{rates}\n{SHOP},tops,2026-01-01,0.15,full\n{SHOP},tops,2027-01-01,0.15,none\n{SHOP},kept,2026-01-01,0.15,none\n{SHOP},shared,2026-01-01,0.15,partial\n"
    )
    monkeypatch.setattr(world.core, "mappings", load_mappings(tmp_path))
    found = {row["refund_id"]: row for row in world.look("commission_credits")}
    assert {
        refund: (row["expected_minor"], row["difference_minor"], row["variance_code"]) for refund, row in found.items()
    } == {
        # 187.5 is even at 188
        "RIGHT": (188, -1, "ROUNDING"),
        "MISSING": (188, -188, "COMMISSION_CREDIT_MISSING"),
        "SHORT": (188, -88, "COMMISSION_RATE"),
        "GIVEN": (0, 50, "COMMISSION_RATE"),
        "TOO-MUCH": (188, 187, "COMMISSION_RATE"),
    }
    tolerances = Tolerances(commission={"GBP": Decimal("0.88")})
    shop = world.core.shop.model_copy(update={"tolerances": tolerances})
    monkeypatch.setattr(world.core, "settings", world.core.settings.model_copy(update={"shops": {SHOP: shop}}))
    rounded = [row["refund_id"] for row in world.look("commission_credits") if row["variance_code"] == "ROUNDING"]
    assert sorted(rounded) == ["GIVEN", "RIGHT", "SHORT"]


@pytest.mark.proves("R38", "R42", "R93")
def test_the_checklist_is_in_order_only_where_its_tables_are(world: Watched) -> None:
    world.has_units = True
    world.core.order("LEFT", "SHIPPING", (("SKU-A", 1, 5000),))
    despatched(world, "LEFT", 1)
    world.case("STATUS_DRIFT", "operations", entity={"return_id": "R1"})
    tables_needed = dict.fromkeys(item.table for item in ITEMS if item.table)
    world.look("order_coverage")
    seen = {name: look(world.core.con, name, world.core.shop, NOW) for name in tables_needed}
    against = {each.item.item: (each.open_rows, each.is_in_order) for each in judge(seen)}
    assert against["No parcel waits for its confirmation"] == (1, False)
    assert against["No drift between systems is unowned"] == (1, False)
    assert against["Every return is on the returns platform"] == (0, True)
    assert {item.cadence for item in ITEMS} == set(CADENCES)
    by_people = {(item.owner, item.cadence) for item in ITEMS if item.owner != "integration"}
    assert by_people == {(owner, cadence) for owner in MANUALS for cadence in CADENCES}
    assert all(bool(item.table) != bool(item.look) for item in ITEMS), "a table or another place to look, not both"
    assert len({item.key for item in ITEMS}) == len(ITEMS)


@pytest.mark.parametrize("owner", MANUALS)
def test_what_a_manual_tells_to_look_at_is_on_its_checklist(owner: str) -> None:
    manual = (Path("docs/manual") / MANUALS[owner]).read_text(encoding="utf-8")
    for cadence, title in (("daily", "Each day"), ("weekly", "Each week"), ("monthly", "Each month")):
        (told,) = re.findall(rf"^## {title}\b.*?\n(.*?)(?=^## )", manual, re.MULTILINE | re.DOTALL)[:1]
        listed = {item.table for item in ITEMS if (item.owner, item.cadence) == (owner, cadence)}
        assert {name for name in re.findall(r"monitoring/(\w+)", told) if name in TABLES} <= listed, cadence
        assert "/checklist" in manual or "*Checklist*" in manual


def test_the_codes_the_marketplace_takes_are_listed_with_what_is_mapped_to_them(world: Watched) -> None:
    world.core.put(tables.MIRAKL_REASONS, reason_type="REFUND", code="17", label="Does not fit", is_shop_right=True)
    world.core.put(tables.MIRAKL_CARRIERS, code="nobody", label="Nobody's vans")
    rows = {(row["list"], row["code"]): row for row in world.look("marketplace_codes")}
    assert set(rows) == {("reasons", "17"), ("carriers", "nobody")}
    reason = rows["reasons", "17"]
    assert (reason["used_for"], reason["label"], reason["may_use"]) == ("REFUND", "Does not fit", True)
    mapped = {row.target_code: row for row in load_mappings(Path("mappings")).reasons if row.flow == "refund"}
    assert bool(reason["mapped_from"]) is ("17" in mapped)
    assert rows["carriers", "nobody"]["mapped_from"] is None


def test_ledger_lines_are_summed_by_type_and_unmapped_types_come_first(world: Watched) -> None:
    for number, (kind, amount) in enumerate((("ORDER_AMOUNT", 5000), ("MOON_TAX", -30), ("MOON_TAX", -12))):
        world.core.put(
            tables.MIRAKL_TRANSACTIONS,
            transaction_id=f"T{number}",
            transaction_type=kind,
            payment_state="PAYABLE",
            currency="GBP",
            amount_minor=amount,
            order_id=f"O{number}",
            created_at=NOW - DAY,
            updated_at=NOW - DAY,
        )
    rows = world.look("transaction_types")
    assert [(row["type"], row["component"], row["lines"], row["amount_minor"], row["orders"]) for row in rows] == [
        ("MOON_TAX", "unmapped", 2, -42, 2),
        ("ORDER_AMOUNT", "sales", 1, 5000, 1),
    ]
    assert rows[0]["example"] == "T1"


def test_the_taxes_of_a_line_whose_refund_was_refused_over_tax_are_shown_as_they_are_now(world: Watched) -> None:
    world.core.put(
        tables.MIRAKL_ORDER_LINE_TAXES,
        order_line_id="L1",
        order_id="O1",
        tax_kind="product",
        tax_code="VAT20",
        currency="GBP",
        amount_minor=833,
        calculation_rule="NONE",
        updated_at=NOW,
    )
    assert world.look("refused_taxes") == []
    world.case("REFUND_REJECTED_TAX", "finance", entity={"order_id": "O1", "order_line_id": "L1"})
    (row,) = world.look("refused_taxes")
    assert (row["exception_id"], row["order_id"], row["tax_code"], row["amount_minor"]) == (1, "O1", "VAT20", 833)


def test_every_table_has_an_owner_and_readers_of_the_catalogue() -> None:
    assert set(READERS) == set(TABLES)
    owners = {rule.owner for rule in default_rules().values()}
    assert all(readers and set(readers) <= owners for readers in READERS.values())
    assert all(item.owner in READERS[item.table] for item in ITEMS if item.table)
