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
    assert core.decide("warehouse_orders").considered == 0


@pytest.mark.proves("R82")
def test_an_item_the_warehouse_does_not_know_is_an_exception_before_the_order_fails(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 1, 1000), ("B", 1, 3050)))
    core.put(tables.PEOPLEVOX_ITEM_TYPES, item_code="A")
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
