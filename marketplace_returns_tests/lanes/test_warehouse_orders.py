from collections.abc import Callable
from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


@pytest.mark.proves("R81", "C10")
def test_a_shippable_order_is_sent_once_it_shows_an_address(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 1, 1000), ("B", 2, 3050)))
    core.order("O2", "SHIPPING")
    core.change(tables.MIRAKL_ORDERS, "order_id = 'O2'", has_shipping_address=False)
    core.order("O3", "WAITING_DEBIT")
    plans = core.intents("warehouse_orders")
    assert list(plans) == [("create_warehouse_order", "O1")]
    body = plans["create_warehouse_order", "O1"].body
    assert body["ship_to_ref"] == "hash-O1"
    assert body["items"] == [
        {"line": "1", "item_code": "A", "quantity": 1, "sale_price": "10.00"},
        {"line": "2", "item_code": "B", "quantity": 2, "sale_price": "30.50"},
    ]


def test_an_order_the_warehouse_has_is_not_sent_again(core: CoreRows) -> None:
    core.order("O1", "SHIPPING")
    core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number="O1", status="New")
    core.put(tables.PEOPLEVOX_SALES_ORDER_ITEMS, sales_order_number="O1", line="1", item_code="SKU-A", quantity=1)
    assert core.decide("warehouse_orders").considered == 0


@pytest.mark.proves("R82", "R86")
def test_an_order_that_was_saved_without_its_lines_is_still_to_be_sent(core: CoreRows) -> None:
    """The header went, the call with the lines found no way out: the warehouse shows an order that nobody can pick."""
    core.order("O1", "SHIPPING")
    core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number="O1", status="New")
    core.order("O2", "SHIPPING")
    core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number="O2", status="Cancelled")
    assert list(core.intents("warehouse_orders")) == [("create_warehouse_order", "O1")]
    late = core.exceptions("warehouse_orders", NOW + timedelta(hours=2))
    assert [(found.type, found.entity["order_id"]) for found in late] == [("WMS_ORDER_MISSING", "O1")]


@pytest.mark.proves("R82", "R86")
def test_an_order_that_was_saved_with_some_of_its_lines_is_still_to_be_sent(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 1, 1000), ("B", 1, 3050)))
    core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number="O1", status="New")
    core.put(tables.PEOPLEVOX_SALES_ORDER_ITEMS, sales_order_number="O1", line="1", item_code="A", quantity=1)
    assert list(core.intents("warehouse_orders")) == [("create_warehouse_order", "O1")]
    (late,) = core.exceptions("warehouse_orders", NOW + timedelta(hours=2))
    assert "the warehouse shows 1 of its 2 lines." in late.message
    core.put(tables.PEOPLEVOX_SALES_ORDER_ITEMS, sales_order_number="O1", line="2", item_code="B", quantity=1)
    assert core.decide("warehouse_orders").considered == 0


@pytest.mark.proves("R82")
def test_an_item_the_warehouse_does_not_know_is_an_exception_before_the_order_fails(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 1, 1000), ("B", 1, 3050)))
    core.put(tables.PEOPLEVOX_ITEM_TYPES, item_code="A", is_listed=True)
    decision = core.decide("warehouse_orders")
    assert decision.intents == ()
    assert [(found.type, found.cause, found.root_cause) for found in decision.exceptions] == [
        ("SKU_UNMAPPED", "B", "mapping")
    ]
    assert decision.exceptions[0].amount_minor == 4050


@pytest.mark.proves("R82", "R89", "R96")
def test_an_order_not_seen_in_the_warehouse_for_two_hours_is_listed(core: CoreRows) -> None:
    core.order("O1", "SHIPPING")
    assert core.exceptions("warehouse_orders", NOW) == []
    late = core.exceptions("warehouse_orders", NOW + timedelta(hours=2))
    assert [found.type for found in late] == ["WMS_ORDER_MISSING"]


def test_a_shop_without_a_warehouse_sends_none(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(warehouse=False)
    core.order("O1", "SHIPPING")
    assert core.decide("warehouse_orders").intents == ()


@pytest.mark.proves("R82")
def test_an_order_near_its_despatch_deadline_is_listed_with_that_clock_however_new_it_is(core: CoreRows) -> None:
    core.order("O1", "SHIPPING")
    deadline = NOW + timedelta(hours=11)
    core.change(tables.MIRAKL_ORDERS, "order_id = 'O1'", shipping_deadline_at=deadline)
    decision = core.decide("warehouse_orders")
    assert [(found.type, found.due_at) for found in decision.exceptions] == [("WMS_ORDER_MISSING", deadline)]
    assert decision.intents[0].evidence["due_at"] == deadline.isoformat()


@pytest.mark.proves("R54")
def test_a_cancelled_order_is_taken_back_from_the_warehouse_unless_it_has_left(core: CoreRows) -> None:
    for order_id, state, status in (
        ("O1", "CANCELED", "New"),
        ("O2", "CANCELED", "Cancelled"),
        ("O3", "CANCELED", "Part despatched"),
        ("O4", "SHIPPING", "New"),
        ("O5", "SHIPPING", "New"),
    ):
        core.order(order_id, state, (("A", 1, 1000), ("B", 1, 1000)))
        core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number=order_id, status=status)
        for place, item in enumerate("AB", start=1):
            core.put(
                tables.PEOPLEVOX_SALES_ORDER_ITEMS,
                sales_order_number=order_id,
                line=str(place),
                item_code=item,
                quantity=1,
            )
    core.put(
        tables.PEOPLEVOX_DESPATCHES, despatch_number="D1", sales_order_number="O3", item_code="A", row_no=1, quantity=1
    )
    core.change(tables.MIRAKL_ORDER_LINES, "order_line_id = 'O5-2'", line_state="CANCELED")
    decision = core.decide("warehouse_orders")
    assert [(plan.natural_key, plan.body) for plan in decision.intents] == [
        ("O1/cancel", {"action": "cancel", "order_id": "O1"})
    ]
    assert {(found.type, found.entity["order_id"], found.cause) for found in decision.exceptions} == {
        ("CANCEL_RACE", "O5", "line cancelled 1 x B"),
    }


@pytest.mark.parametrize(
    ("lane", "table", "key"),
    [
        ("accept_orders", "mirakl__order_lines", "O1"),
        ("warehouse_orders", "mirakl__order_lines", "O2"),
        ("platform_returns", "mirakl__return_lines", "R1"),
        ("expected_receipts", "mirakl__return_lines", "R2"),
    ],
)
def test_of_what_has_a_line_set_aside_nothing_is_sent_without_it(
    core: CoreRows, lane: str, table: str, key: str
) -> None:
    core.order("O1", "WAITING_ACCEPTANCE", (("A", 1, 1000),))
    core.order("O2", "SHIPPING", (("A", 1, 1000),))
    core.order("O3", "RECEIVED", (("A", 2, 2000),))
    core.returned("R1", "O3", state="WAITING_ACCEPTANCE", lines=(("O3-1", 1),))
    core.returned("R2", "O3", lines=(("O3-1", 1),))
    for return_id in ("R1", "R2"):
        core.change(tables.MIRAKL_RETURNS, f"return_id = '{return_id}'", payload_hash=f"hash-{return_id}")
    assert key in {natural_key for _, natural_key in core.intents(lane)}
    core.put(tables.QUARANTINE, source="mirakl", table_name=table, row_key="", payload_hash=f"hash-{key}")
    assert key not in {natural_key for _, natural_key in core.intents(lane)}
