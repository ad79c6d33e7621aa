"""Orders and expected returns in the sandbox's warehouse: partial refusals, lost replies, conflicts and cancellations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.peoplevox.orders import SalesOrder, SalesOrderItem
from marketplace_returns_tests.ledger.sandboxed import Place, place, plan

ORDER, RECEIPT = WriteKind.CREATE_WAREHOUSE_ORDER, WriteKind.CREATE_EXPECTED_RECEIPT


@pytest.fixture
def here(tmp_path):
    with place(tmp_path, orders=12, days=1, skus=20, split_parcel_rate=0.0) as opened:
        yield opened


def new_order(order: dict[str, Any], *item_codes: str, due_at: str = "") -> IntentPlan:
    codes = item_codes or [line["offer_sku"] for line in order["order_lines"]]
    items = [
        {"line": str(place), "item_code": code, "quantity": 1, "sale_price": "10.00"}
        for place, code in enumerate(codes, start=1)
    ]
    body = {"order_id": order["order_id"], "items": items, "created_at": order["created_date"], "service_type": ""}
    return replace(plan(ORDER, order["order_id"], body, order=order), evidence={"due_at": due_at} if due_at else {})


def cancellation(order: dict[str, Any]) -> IntentPlan:
    return plan(ORDER, f"{order['order_id']}/cancel", {"action": "cancel", "order_id": order["order_id"]}, order=order)


def receipt(key: str, items: Sequence[tuple[str, int, str]], action: str = "") -> IntentPlan:
    lines = [
        {"line": str(place), "item_code": code, "quantity": quantity, "status": status}
        for place, (code, quantity, status) in enumerate(items, start=1)
    ]
    body = {
        "purchase_order_number": "RTN-R1",
        "reference": "O1",
        "items": lines,
        **({"action": action} if action else {}),
    }
    return plan(RECEIPT, key, body, return_id="R1")


def settle(here: Place, kind: WriteKind) -> None:
    for _ in range(2):
        here.send(kind)
        here.clock.wait(31)
        here.look()


def intent(here: Place, key: str, kind: WriteKind = ORDER) -> Intent:
    (found,) = [each for each in here.ledger.intents(kinds=(kind,)) if each.natural_key == key]
    return found


def of_warehouse(here: Place, number: str) -> Any:
    return here.sandbox.do(lambda: here.sandbox.world.warehouse.sales_order(number))


@pytest.mark.proves("R82")
def test_of_a_batch_each_refused_order_has_an_exception_with_its_deadline_and_the_rest_is_saved(here: Place) -> None:
    orders = here.shipping()[:3]
    deadline = here.clock.now() + timedelta(hours=5)
    bad = new_order(orders[0], "NO-SUCH-ITEM", due_at=deadline.isoformat())
    here.plan(bad, *(new_order(order) for order in orders[1:]))
    settle(here, ORDER)
    states = {each.natural_key: each.state for each in here.ledger.intents(kinds=(ORDER,))}
    assert states == {orders[0]["order_id"]: State.REJECTED} | {
        order["order_id"]: State.CONFIRMED for order in orders[1:]
    }
    (found,) = here.ledger.exceptions()
    assert (found.type, found.entity["order_id"], found.due_at) == (
        "WMS_ORDER_FAILED",
        orders[0]["order_id"],
        deadline,
    )
    assert "NO-SUCH-ITEM" in found.message
    here.plan(new_order(orders[0]), *(new_order(order) for order in orders[1:]))
    settle(here, ORDER)
    assert intent(here, orders[0]["order_id"]).state is State.CONFIRMED, "mended, it is saved"
    assert here.exception_types() == []


@pytest.mark.proves("R81", "R82")
def test_an_order_saved_by_half_is_made_whole_and_another_under_its_number_is_a_conflict(here: Place) -> None:
    half, other = here.shipping()[:2]
    ours = new_order(half)
    number, (sku, *_) = half["order_id"], [line["offer_sku"] for line in half["order_lines"]]
    here.plan(ours, new_order(other))
    someone = SalesOrder(number=other["order_id"], items=(SalesOrderItem("1", sku, 9),))
    here.clients.peoplevox.save_sales_orders([someone])
    # The lines' call of ours never arrives: the header stands alone.
    here.sandbox.do(lambda: here.sandbox.world.warehouse.import_sales_orders([{"SalesOrderNumber": number}]))
    settle(here, ORDER)
    assert intent(here, number).state is State.CONFIRMED
    assert len(of_warehouse(here, number).items) == len(ours.body["items"])
    found = intent(here, other["order_id"])
    assert (found.state, found.attempt_count) == (State.CONFLICT, 0)
    assert f"9 x {sku}" in found.last_error
    assert [item.quantity for item in of_warehouse(here, other["order_id"]).items.values()] == [9]
    assert here.exception_types() == ["WMS_ORDER_FAILED"]


@pytest.mark.proves("R54")
@pytest.mark.parametrize("fault", ["", "reset_after", "reset"])
def test_an_order_is_cancelled_in_the_warehouse_once_and_not_after_it_left(here: Place, fault: str) -> None:
    cancelled, departed = here.shipping()[:2]
    here.plan(new_order(departed))
    settle(here, ORDER)
    here.sandbox.advance(timedelta(hours=60))
    here.plan(new_order(cancelled), lane="later")
    settle(here, ORDER)
    here.plan(cancellation(cancelled), cancellation(departed), lane="cancellations")
    if fault:
        here.fault(fault, "SaveData")
    settle(here, ORDER)
    assert here.intent(f"{cancelled['order_id']}/cancel").state is State.CONFIRMED
    assert of_warehouse(here, cancelled["order_id"]).status == "Cancelled"
    assert here.intent(f"{departed['order_id']}/cancel").state is State.CONFLICT
    assert of_warehouse(here, departed["order_id"]).status == "Despatched"
    assert here.exception_types() == ["CANCEL_RACE"]


@pytest.mark.proves("R52")
@pytest.mark.parametrize("fault", ["reset_after", "reset"])
def test_an_expected_receipt_is_announced_changed_and_taken_back_with_each_reply_lost(here: Place, fault: str) -> None:
    first, second = list(here.sandbox.world.products)[:2]
    steps = (
        (receipt("R1", [(first, 2, "Pending")]), {first: (2, "Pending")}),
        (
            receipt("R1@seen", [(first, 2, "Closed"), (second, 1, "Pending")], "change"),
            {first: (2, "Closed"), second: (1, "Pending")},
        ),
    )
    for announced, wanted in steps:
        here.plan(announced, lane=announced.natural_key)
        here.fault(fault, "SaveData")
        settle(here, RECEIPT)
        assert here.intent(announced.natural_key).state is State.CONFIRMED
        (found,) = here.clients.peoplevox.whole_purchase_orders(["RTN-R1"])
        shown = {item["item_code"]: (int(item["quantity"]), item["status"]) for item in found["items"]}
        assert shown == wanted
    here.plan(receipt("R1/cancel", [], "cancel"), lane="cancel")
    here.fault(fault, "SaveData")
    settle(here, RECEIPT)
    assert here.intent("R1/cancel").state is State.CONFIRMED
    (found,) = here.clients.peoplevox.whole_purchase_orders(["RTN-R1"])
    assert found["status"] == "Cancelled"
    again = receipt("R1@later", [(first, 1, "Pending")], "change")
    here.plan(again, lane="again")
    settle(here, RECEIPT)
    assert here.intent("R1@later").state is State.CONFLICT, "a cancelled one is not opened again"


@pytest.mark.proves("R71", "R85")
def test_a_carrier_code_the_marketplace_refuses_alarms_at_once_and_once_mended_is_sent_once(here: Place) -> None:
    order = here.shipping()[0]
    carrier = here.clients.mirakl.carriers()[0]["code"]

    def confirmation(code: str) -> IntentPlan:
        body = {
            "mode": "order",
            "order_id": order["order_id"],
            "tracking": {"carrier_code": code, "tracking_number": "TRACK1"},
            "shipment_lines": [],
        }
        return plan(WriteKind.CONFIRM_DESPATCH, order["order_id"], body, order=order)

    here.plan(confirmation("NOT-A-CARRIER"))
    here.send()
    assert intent(here, order["order_id"], WriteKind.CONFIRM_DESPATCH).state is State.REJECTED
    assert here.exception_types() == ["DESPATCH_REJECTED"]
    here.plan(confirmation("NOT-A-CARRIER"))
    here.send()
    assert here.calls("OR23") == 1, "the same body is not sent again"
    for _ in range(2):
        here.plan(confirmation(carrier))
        here.send()
    assert intent(here, order["order_id"], WriteKind.CONFIRM_DESPATCH).state is State.CONFIRMED
    assert (here.calls("OR23"), here.calls("OR24")) == (2, 1)
    assert here.exception_types() == []
