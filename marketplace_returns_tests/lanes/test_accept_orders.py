from collections.abc import Callable
from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


@pytest.mark.proves("R14")
def test_every_line_of_a_waiting_order_is_accepted_in_one_decision(core: CoreRows) -> None:
    core.order("O1", "WAITING_ACCEPTANCE", (("A", 1, 1000), ("B", 2, 3000)))
    core.order("O2", "SHIPPING")
    plans = core.intents("accept_orders")
    assert list(plans) == [("accept_order", "O1")]
    assert plans["accept_order", "O1"].body == {
        "order_id": "O1",
        "order_lines": [{"id": "O1-1", "accepted": True}, {"id": "O1-2", "accepted": True}],
    }


@pytest.mark.proves("R99")
def test_the_same_model_gives_the_same_decision(core: CoreRows) -> None:
    core.order("O1", "WAITING_ACCEPTANCE")
    assert core.decide("accept_orders") == core.decide("accept_orders")


@pytest.mark.proves("R14")
def test_an_order_still_waiting_after_four_hours_has_an_owner_and_is_still_accepted(core: CoreRows) -> None:
    core.order("O1", "WAITING_ACCEPTANCE")
    core.change(tables.MIRAKL_ORDERS, "order_id = 'O1'", created_at=NOW - timedelta(hours=5))
    decision = core.decide("accept_orders")
    assert [plan.natural_key for plan in decision.intents] == ["O1"]
    assert [(found.type, found.cause) for found in decision.exceptions] == [("ACK_OVERDUE", "late")]


@pytest.mark.proves("C11")
def test_policy_in_stock_holds_what_the_warehouse_does_not_have(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(policy='accept = "in_stock"')
    core.order("O1", "WAITING_ACCEPTANCE", (("A", 2, 1000),))
    core.order("O2", "WAITING_ACCEPTANCE", (("A", 1, 1000),))
    core.put(tables.PEOPLEVOX_STOCK, item_code="A", site="MAIN", available=1, is_listed=True)
    decision = core.decide("accept_orders")
    assert [plan.natural_key for plan in decision.intents] == ["O2"]
    assert [(found.type, found.entity["order_id"]) for found in decision.exceptions] == [("ACK_OVERDUE", "O1")]


@pytest.mark.proves("C11")
def test_policy_manual_above_value_leaves_dear_orders_to_a_person(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(policy='accept = "manual_above_value"\naccept_value_above = "20.00"')
    core.order("O1", "WAITING_ACCEPTANCE", (("A", 1, 2001),))
    core.order("O2", "WAITING_ACCEPTANCE", (("A", 1, 2000),))
    decision = core.decide("accept_orders")
    assert [plan.natural_key for plan in decision.intents] == ["O2"]
    assert [found.cause for found in decision.exceptions] == ["held"]
