"""The look-up on a real lake: by any number, of that order alone, without personal data."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace_returns.desk.lookup import look_up
from marketplace_returns.lake import tables
from marketplace_returns.reconciliation.trace import find
from marketplace_returns_tests.desk.conftest import AtDesk
from marketplace_returns_tests.lanes.core_rows import NOW


@pytest.mark.proves("R7", "R24", "R46", "R73")
def test_any_number_finds_the_order_and_tells_where_it_stands(at: AtDesk) -> None:
    core = at.core
    core.order("O1", lines=(("SKU-A", 1, 2500), ("SKU-B", 1, 900)))
    core.order("O2")
    core.returned()
    core.on_platform(external_id="R1", tracking_number="BACK1", shipped_at=NOW - timedelta(days=1))
    core.inspected()
    core.change(
        tables.MIRAKL_ORDERS,
        "order_id = 'O1'",
        shipping_tracking="OUT1",
        seller_reference="OURS-7",
        commercial_id="BASKET",
    )
    at.decided("refunds")
    kinds = {
        "O1": "order",
        "BASKET": "order",
        "OURS-7": "seller reference",
        "O1-1": "order line",
        "R1": "return",
        "P1": "platform return",
        "RTN-R1": "expected receipt",
        "BACK1": "tracking number",
        "OUT1": "tracking number",
        "RET1": "warehouse return",
    }
    at.asked("O1")
    found = {number: find(at.desk.con, number) for number in kinds}
    assert {number: [(each.order_id, each.kind) for each in orders] for number, orders in found.items()} == {
        number: [("O1", kind)] for number, kind in kinds.items()
    }
    assert at.asked("o1").orders == ()
    assert at.asked("customer@notification.invalid").orders == ()

    (order,) = at.asked(" BACK1 ").orders
    assert order.status.sentence == "inspected 12 Oct, refund is about to be sent, refund due by 26 Oct"
    assert (order.facts.total_minor, order.facts.currency) == (3400, "GBP")
    ((facts, status),) = order.returns
    assert (facts.units, facts.value_minor, status) == (1, 2500, order.status)
    assert [str(each.kind) for each in order.writes] == ["refund"]
    assert {"return_requested", "return_in_transit", "inspected_sellable"} <= {each.event for each in order.events}
    (other,) = at.asked("O2").orders
    assert (other.returns, other.writes) == ((), ())
    assert other.status.stage == "delivered"


@pytest.mark.proves("R7")
def test_what_a_month_end_table_names_finds_the_order(at: AtDesk) -> None:
    """Match keys, return units, receipts and log lines, as aged_unmatched, stock_proof and prior_period_adjustments have them."""
    at.core.order("O1")
    at.core.returned()
    at.core.inspected()
    at.core.refunded()
    at.core.put(
        tables.MIRAKL_TRANSACTIONS,
        transaction_id="T1",
        transaction_type="ORDER_AMOUNT",
        payment_state="PENDING",
        currency="GBP",
        amount_minor=2500,
        order_id="O1",
        created_at=NOW,
        updated_at=NOW,
    )
    at.core.put(tables.MIRAKL_CANCELATIONS, cancelation_id="C1", order_id="O1", order_line_id="O1-1", currency="GBP")
    at.asked("O1")
    names = (
        "refund:F1",
        "unit:O1-1#1",
        "O1-1#1",
        "receipt:peoplevox:RET1:SKU-A:1#1",
        "peoplevox:RET1:SKU-A:1",
        "log:T1",
        "C1",
    )
    found = {name: [each.order_id for each in find(at.desk.con, name)] for name in names}
    assert found == {name: ["O1"] for name in names}
    assert find(at.desk.con, "#") == find(at.desk.con, "log:T2") == []
    assert find(at.desk.con, "T1") == [], "of the log only what looks like a line of it is asked, for it is long"
    asked = at.asked("log:T1")
    assert ([each.order_id for each in asked.orders], [each.transaction_id for each in asked.log_lines]) == (
        ["O1"],
        ["T1"],
    )


@pytest.mark.proves("R7")
def test_a_write_of_ours_finds_its_order(at: AtDesk) -> None:
    at.core.order("O1")
    at.core.returned()
    at.core.inspected()
    at.decided("refunds")
    (intent,) = at.ledger.intents(order_id="O1")
    for reference in (intent.intent_id, f"intent:{intent.intent_id}"):
        asked = at.asked(reference)
        assert ([each.order_id for each in asked.orders], asked.found_as) == (["O1"], ("write of ours",))
    assert at.asked("intent:" + "0" * 24).orders == ()


@pytest.mark.proves("R10")
def test_a_held_refund_tells_its_exception_and_mend(at: AtDesk) -> None:
    at.core.order()
    at.core.returned(reason="RETURN_ODD")
    at.core.inspected()
    at.core.order("O2")
    at.core.returned("R2", "O2", lines=(("O2-1", 1),), reason="RETURN_ODD")
    at.core.inspected("RET2", "O2")
    at.decided("refunds")
    (order,) = at.asked("R1").orders
    assert [each.entity["return_id"] for each in order.exceptions] == ["R1"]
    assert order.status.owner == "operations"
    assert "held by REASON_UNMAPPED" in order.status.sentence
    assert "has no row in reasons.csv" in order.status.next_step


def test_refunds_meet_the_returns_they_were_made_for(at: AtDesk) -> None:
    at.core.order(lines=(("SKU-A", 2, 5000),))
    at.core.returned("R1", created_at=NOW - timedelta(days=2))
    at.core.inspected("RET1")
    at.core.assign()
    at.core.returned("R2")
    at.core.refunded("F1", amount_minor=2500)
    at.core.change(tables.MIRAKL_REFUNDS, "refund_id = 'F1'", paid_at=NOW - timedelta(hours=1))
    at.core.assign()
    (order,) = at.asked("F1").orders
    told = {facts.return_id: status for facts, status in order.returns}
    assert (told["R1"].stage, told["R2"].stage) == ("refunded", "requested")
    assert order.status == told["R2"], "what is not finished is told of the order"
    assert order.facts.refunded_minor == 2500


def test_one_order_after_another_is_told_of_its_own_rows_alone_in_the_memory_that_is_kept(at: AtDesk) -> None:
    at.core.order("O1", lines=(("SKU-A", 1, 2500), ("SKU-B", 1, 900)))
    at.core.returned()
    at.core.inspected()
    at.core.order("O2", lines=(("SKU-C", 1, 700),))
    at.decided("refunds")
    first = at.asked("O1")
    kept = at.desk.memory._kept
    assert kept is not None
    ((tables_left,),) = kept.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'lake' AND estimated_size > 0"
    ).fetchall()
    assert tables_left == 0
    (other,) = at.asked("O2").orders
    assert (other.facts.total_minor, other.returns) == (700, ())
    assert {each.order_line_id for each in other.events} <= {"O2-1", None}
    assert at.asked("O1") == first
    assert at.desk.memory._kept is kept
    assert at.asked("nothing").orders == ()
    assert at.asked("no\0number").orders == ()


def test_a_look_that_fails_leaves_nothing_of_its_order_behind(at: AtDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    at.core.order("O1", lines=(("SKU-A", 1, 2500),))
    at.asked("O1")
    with monkeypatch.context() as broken:
        broken.setattr("marketplace_returns.desk.lookup.events", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            look_up(at.desk, "O1", NOW)
    assert at.desk.memory._kept is None
    assert look_up(at.desk, "O1", NOW).orders[0].facts.total_minor == 2500
