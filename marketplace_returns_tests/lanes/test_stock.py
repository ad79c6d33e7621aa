from collections.abc import Callable
from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.lanes.stock import decide
from marketplace_returns.settings import Cadence
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP, CoreRows


def _offer(core: CoreRows, sku: str, offered: int, available: int | None) -> None:
    core.put(tables.MIRAKL_OFFERS, offer_sku=sku, quantity=offered, currency="GBP")
    if available is not None:
        core.put(tables.PEOPLEVOX_STOCK, item_code=sku, site="MAIN", available=available, is_listed=True)


@pytest.mark.proves("R76", "R83", "C6", "I10")
@pytest.mark.parametrize(("available", "buffer", "wanted"), [(7, 0, 7), (7, 2, 5), (1, 2, 0), (-3, 0, 0)], ids=str)
def test_the_offer_gets_what_the_warehouse_has_less_the_buffer(
    make_core: Callable[..., CoreRows], available: int, buffer: int, wanted: int
) -> None:
    core = make_core(policy=f"stock_buffer = {buffer}")
    _offer(core, "A", 99, available)
    assert [plan.body for plan in core.decide("stock").intents] == [{"offer_sku": "A", "quantity": wanted}]


@pytest.mark.proves("R83")
def test_an_offer_that_agrees_is_not_pushed(core: CoreRows) -> None:
    _offer(core, "A", 7, 7)
    assert core.decide("stock").intents == ()


@pytest.mark.proves("R83")
def test_units_sold_and_not_yet_in_the_warehouse_are_not_sold_twice(core: CoreRows) -> None:
    _offer(core, "SKU-A", 6, 7)
    core.order("O1", "WAITING_ACCEPTANCE")
    assert core.decide("stock").intents == (), "6 = 7 on the shelf less the one just sold"
    core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number="O1", status="New")
    assert [plan.body["quantity"] for plan in core.decide("stock").intents] == [7]


@pytest.mark.proves("R13", "R68", "R76")
def test_a_damaged_return_never_changes_an_offer_and_a_wrong_item_only_by_the_warehouses_figure(core: CoreRows) -> None:
    _offer(core, "A", 5, 5)
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.inspected(item="A", condition="Damaged", reusable=False)
    assert core.decide("stock").intents == ()


def test_an_offer_the_warehouse_does_not_know_is_left_and_told(core: CoreRows) -> None:
    _offer(core, "A", 5, None)
    decision = core.decide("stock")
    assert decision.intents == ()
    assert [found.type for found in decision.exceptions] == ["SKU_UNMAPPED"]


@pytest.mark.proves("R40")
def test_differences_are_pushed_together_at_the_steps_of_the_shops_cadence(core: CoreRows) -> None:
    _offer(core, "A", 99, 7)
    (at_once,) = core.decide("stock").intents
    assert at_once.not_before is None
    shop = core.shop.model_copy(update={"cadence": Cadence(stock_push_s=600)})
    (held,) = decide(core.con, shop, core.mappings, NOW + timedelta(minutes=3)).intents
    assert held.not_before == NOW + timedelta(minutes=10)
    with pytest.raises(ValueError, match="under the marketplace's minute"):
        Cadence(stock_push_s=30)


@pytest.mark.proves("R83")
def test_the_sites_that_serve_the_shop_are_added_up_and_no_other(core: CoreRows) -> None:
    _offer(core, "A", 0, 3)
    core.put(tables.PEOPLEVOX_STOCK, item_code="A", site="NORTH", available=4, is_listed=True)
    core.put(tables.PEOPLEVOX_STOCK, item_code="A", site="SOUTH", available=9, is_listed=True)
    assert [plan.body["quantity"] for plan in core.decide("stock").intents] == [3]
    warehouse = core.shop.warehouse.model_copy(update={"site": ("MAIN", "NORTH")})
    core.settings.shops[SHOP] = core.shop.model_copy(update={"warehouse": warehouse})
    assert [plan.body["quantity"] for plan in core.decide("stock").intents] == [7]


@pytest.mark.proves("R83")
def test_an_item_the_list_lost_is_nothing_to_sell_unless_many_are_lost_at_once(core: CoreRows) -> None:
    for number in range(20):
        _offer(core, f"SKU-{number}", 5, 5)
    core.change(tables.PEOPLEVOX_STOCK, "item_code = 'SKU-7'", is_listed=False)
    decision = core.decide("stock")
    assert [(plan.body["offer_sku"], plan.body["quantity"]) for plan in decision.intents] == [("SKU-7", 0)]
    assert decision.exceptions == ()
    core.change(tables.PEOPLEVOX_STOCK, "length(item_code) = 6", is_listed=False)
    decision = core.decide("stock")
    assert decision.intents == ()
    assert [(found.type, found.evidence["count"]) for found in decision.exceptions] == [("STOCK_STALE", 11)]


@pytest.mark.proves("R83")
def test_a_list_without_one_row_of_the_shops_sites_takes_nothing_off_sale(core: CoreRows) -> None:
    for sku in ("SKU-A", "SKU-B"):
        _offer(core, sku, 5, 5)
    core.change(tables.PEOPLEVOX_STOCK, "true", is_listed=False)
    decision = core.decide("stock")
    assert decision.intents == ()
    (held,) = decision.exceptions
    assert (held.type, held.evidence["count"]) == ("STOCK_STALE", 2)
    assert "the site (MAIN)" in held.message
