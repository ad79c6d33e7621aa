"""The assignments that must never move: ordinals of return units, receipts to units."""

from datetime import timedelta

import pytest

from marketplace_returns import model
from marketplace_returns.lake import tables
from marketplace_returns.money import unit_share
from marketplace_returns.reconciliation.trace import events
from marketplace_returns_tests.lake.worlds import OvertakenLake
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP, CoreRows

UNITS = "SELECT return_unit_id, return_id, disposition FROM model.return_units ORDER BY 1"


def test_ordinals_follow_the_order_in_which_returns_were_opened_and_never_move(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 1000),))
    core.returned("R2", created_at=NOW - timedelta(days=1))
    assert core.assign() == 1
    core.returned("R1", created_at=NOW - timedelta(days=3))
    core.assign()
    assert [row[:2] for row in core.rows(UNITS)] == [("O1-1#1", "R2"), ("O1-1#2", "R1")]
    assert core.assign() == 0


def test_a_cancelled_return_frees_its_unit_unless_something_of_it_arrived(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1", created_at=NOW - timedelta(days=3))
    core.assign()
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R1'", return_state="CANCELED")
    core.returned("R2", created_at=NOW - timedelta(days=1))
    core.assign()
    assert [row[:2] for row in core.rows(UNITS)] == [("O1-1#1", "R2")]
    core.inspected(item="A")
    core.assign()
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R2'", return_state="CANCELED")
    core.returned("R3", created_at=NOW)
    core.assign()
    assert [row[:2] for row in core.rows(UNITS)] == [("O1-1#1", "R2"), ("O1-1#2", "R3")]


def test_each_receipt_is_one_unit_and_stays_it(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 1000),))
    core.returned("R1", created_at=NOW - timedelta(days=3))
    core.returned("R2", created_at=NOW - timedelta(days=2))
    core.inspected("RET1", item="A")
    core.assign()
    assert core.rows(UNITS) == [("O1-1#1", "R1", "sellable"), ("O1-1#2", "R2", None)]
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R1'", return_state="CANCELED")
    core.assign()
    assert core.rows(UNITS) == [("O1-1#1", "R1", "sellable"), ("O1-1#2", "R2", None)], "no second unit for one parcel"


@pytest.mark.proves("R109")
def test_two_passes_at_once_give_each_ordinal_and_each_receipt_once(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 1000),))
    core.returned("R1", created_at=NOW - timedelta(days=3))
    core.returned("R2", created_at=NOW - timedelta(days=2))
    core.inspected("RET1", item="A")
    core.ready()
    kept: list[tuple[str, int]] = []
    with core.lake.connect() as other:
        model.attach_facts(other, core.settings, core.mappings)
        OvertakenLake.overtake = lambda: model.assign_return_units(core.lake, other, SHOP, "other", NOW)
        overtaken = OvertakenLake(core.lake.folder, storage=core.lake.storage)
        given = model.assign_return_units(
            overtaken, core.con, SHOP, "test", NOW, keep=lambda name, rows: kept.append((name, rows.num_rows))
        )
    assert OvertakenLake.overtake is None
    assert (given, [rows for _, rows in kept]) == (0, [0]), "the other has given all of it"
    assert core.rows("SELECT order_line_id, ordinal FROM lake.core.return_unit_assignments ORDER BY ALL") == [
        ("O1-1", 1),
        ("O1-1", 2),
    ]
    assert core.rows(UNITS) == [("O1-1#1", "R1", "sellable"), ("O1-1#2", "R2", None)]
    assert core.rows("SELECT count(*) FROM lake.core.receipt_assignments") == [(1,)]


def test_two_lines_of_one_sku_and_a_parcel_with_both(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000), ("A", 1, 900)))
    core.returned("R1", lines=(("O1-1", 1), ("O1-2", 1)))
    core.inspected("RET1", item="A", quantity=2)
    core.assign()
    assert core.rows(UNITS) == [("O1-1#1", "R1", "sellable"), ("O1-2#1", "R1", "sellable")]


@pytest.mark.proves("R13", "R19")
def test_another_item_than_announced_is_a_wrong_item(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.inspected(item="Z", condition="NEW")
    core.assign()
    assert core.rows(UNITS) == [("O1-1#1", "R1", "wrong_item")]


@pytest.mark.proves("I11")
def test_the_views_share_of_a_unit_is_the_shares_of_money(core: CoreRows) -> None:
    core.attach()
    for total in (0, 1, 5, 1000, 99999):
        for quantity in (1, 2, 3, 7):
            for ordinal in range(1, quantity + 1):
                found = core.con.execute("SELECT model.unit_share(?, ?, ?)", [total, ordinal, quantity]).fetchall()
                assert found == [(unit_share(total, ordinal, quantity),)]


@pytest.mark.proves("R7")
def test_events_tell_the_story_in_order(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.on_platform("R1", shipped_at=NOW - timedelta(hours=20), received_at=NOW - timedelta(hours=8))
    core.inspected(item="A")
    core.refunded()
    core.assign()
    events = {row[0] for row in core.rows("SELECT event FROM model.events WHERE order_id = 'O1'")}
    assert events >= {
        "order_created",
        "shipped",
        "return_requested",
        "return_created_on_platform",
        "return_in_transit",
        "return_received",
        "inspected_sellable",
        "refund_requested",
    }


@pytest.mark.proves("R7")
def test_a_life_from_order_to_payout_is_one_line_of_steps_each_with_its_instant_and_source(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.on_platform("R1", created_at=NOW - timedelta(hours=22), shipped_at=NOW - timedelta(hours=20))
    core.change(tables.REVENI_RETURNS, "platform_return_id = 'P1'", received_at=NOW - timedelta(hours=8))
    core.inspected(item="A")
    core.refunded()
    core.change(
        tables.MIRAKL_REFUNDS,
        "refund_id = 'F1'",
        created_at=NOW - timedelta(hours=2),
        paid_at=NOW - timedelta(hours=1),
    )
    core.put(
        tables.MIRAKL_TRANSACTIONS,
        transaction_id="T1",
        transaction_type="REFUND_ORDER_AMOUNT",
        currency="GBP",
        order_id="O1",
        order_line_id="O1-1",
        refund_id="F1",
        billing_cycle_id="C1",
    )
    core.put(tables.MIRAKL_BILLING_CYCLES, billing_cycle_id="C1", currency="GBP", created_at=NOW)
    core.assign()
    told = events(core.con, "asos_uk", "O1")
    steps = [(step.event, step.source) for step in told if step.return_id or step.event in {"settled", "shipped"}]
    refund_steps = [step.event for step in told if step.reference == "F1"]
    assert steps == [
        ("return_requested", "mirakl"),
        ("shipped", "mirakl"),
        ("return_created_on_platform", "reveni"),
        ("return_in_transit", "reveni"),
        ("return_received", "reveni"),
        ("inspected_sellable", "peoplevox"),
        ("settled", "mirakl"),
    ]
    assert refund_steps == ["refund_requested", "refund_paid"]
    instants = [step.occurred_at for step in told]
    assert instants == sorted(instants)
