"""Every operation against what the sandbox really answered."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from marketplace_returns.errors import SourceRefused
from marketplace_returns.sandbox.world import World
from marketplace_returns.sources.mirakl import client as client_module
from marketplace_returns.sources.mirakl.client import MiraklClient
from marketplace_returns.sources.mirakl.results import ItemState
from marketplace_returns.sources.mirakl.stock_imports import StockImportState

from .conftest import START, Marketplace, OpenMarketplace

TOMORROW = START + timedelta(days=1)
LATER = START + timedelta(days=60)


def rows(pages: Any) -> list[dict[str, Any]]:
    return [row for page in pages for row in page]


def accept_all(client: MiraklClient) -> list[str]:
    waiting = rows(client.orders_in_state("WAITING_ACCEPTANCE"))
    for order in waiting:
        lines = [{"id": line["order_line_id"], "accepted": True} for line in order["order_lines"]]
        client.accept_order(order["order_id"], lines)
    return [order["order_id"] for order in waiting]


def one_order(client: MiraklClient, order_id: str) -> dict[str, Any]:
    (order,) = rows(client.orders_by_id([order_id]))
    return order


def shipped_order(outside: Marketplace) -> str:
    """Accept the first orders, let them be paid, and ship one."""
    outside.advance(hours=14)
    order_id = accept_all(outside.client)[0]
    outside.advance(hours=6)
    outside.client.set_tracking(order_id, carrier_code="DPDUK", tracking_number="T123")
    outside.client.ship_order(order_id)
    return order_id


def received_order(outside: Marketplace) -> str:
    order_id = shipped_order(outside)
    outside.advance(days=9)
    outside.arrange(
        lambda world: world.marketplace.orders[order_id].state == "RECEIVED" or world.marketplace.receive(order_id)
    )
    return order_id


def test_orders_are_read_page_by_page(marketplace: OpenMarketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ORDERS_PAGE_MAX", 6)
    with marketplace(orders=9) as outside:
        outside.advance(days=1)
        pages = list(outside.client.orders(START, TOMORROW))
    assert len(pages) > 1
    assert len({order["order_id"] for order in rows(pages)}) == len(rows(pages)) > 6
    line = rows(pages)[0]["order_lines"][0]
    assert isinstance(line["price_unit"], Decimal | int)
    assert not any(isinstance(value, float) for value in line.values())


def test_many_orders_are_read_as_a_file(marketplace: OpenMarketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client_module.ORDERS_BY_PAGE_MAX, "sandbox", 2)
    monkeypatch.setattr(client_module, "ORDERS_PAGE_MAX", 1)
    with marketplace() as outside:
        outside.advance(days=1)
        by_page_or_file = rows(outside.client.orders(START, TOMORROW))
    assert len(by_page_or_file) > 2


def test_orders_to_accept_are_found_by_state_and_accepted(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=2) as outside:
        outside.advance(days=1)
        order_id = accept_all(outside.client)[0]
        outside.advance(hours=6)
        assert one_order(outside.client, order_id)["order_state"] == "SHIPPING"
        with pytest.raises(SourceRefused) as caught:
            outside.client.accept_order(order_id, [])
    assert (caught.value.operation, caught.value.status) == ("OR21", 400)


def test_an_order_is_tracked_and_shipped_once(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=2) as outside:
        order_id = shipped_order(outside)
        order = one_order(outside.client, order_id)
        with pytest.raises(SourceRefused) as caught:
            outside.client.ship_order(order_id)
    assert (order["order_state"], order["shipping_tracking"]) == ("SHIPPED", "T123")
    assert (caught.value.operation, caught.value.status) == ("OR24", 400)


def test_an_unregistered_carrier_is_refused_with_its_reason(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=1) as outside:
        outside.advance(days=1)
        (order_id,) = accept_all(outside.client)
        outside.advance(hours=6)
        with pytest.raises(SourceRefused) as caught:
            outside.client.set_tracking(order_id, carrier_code="PIGEON", tracking_number="T1")
    assert caught.value.operation == "OR23"
    assert caught.value.excerpt


def test_a_refund_is_named_and_shows_in_the_order(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=2) as outside:
        order_id = shipped_order(outside)
        order = one_order(outside.client, order_id)
        line = order["order_lines"][0]
        body = {
            "order_tax_mode": order["order_tax_mode"],
            "refunds": [
                {
                    "order_line_id": line["order_line_id"],
                    "amount": Decimal("1.50"),
                    "shipping_amount": Decimal(0),
                    "quantity": 1,
                    "reason_code": "17",
                    "currency_iso_code": "GBP",
                }
            ],
        }
        (made,) = outside.client.refund(body)
        (seen,) = one_order(outside.client, order_id)["order_lines"][0]["refunds"]
        body["refunds"][0]["amount"] = Decimal(99999)
        with pytest.raises(SourceRefused) as caught:
            outside.client.refund(body)
    assert made.order_line_id == line["order_line_id"]
    assert (seen["id"], seen["order_refund_id"]) == (made.refund_id, made.order_refund_id)
    assert Decimal(seen["amount"]) == Decimal("1.50")
    assert (caught.value.operation, caught.value.status) == ("OR28", 400)


def test_orders_are_canceled_whole_or_by_line_before_payment(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=2) as outside:
        outside.advance(days=1)
        whole, by_line = rows(outside.client.orders_in_state("WAITING_ACCEPTANCE"))
        outside.client.cancel_order(whole["order_id"])
        line = by_line["order_lines"][0]
        (canceled,) = outside.client.cancel_lines(
            {
                "order_tax_mode": by_line["order_tax_mode"],
                "cancelations": [
                    {
                        "order_line_id": line["order_line_id"],
                        "amount": line["price"],
                        "shipping_amount": line["shipping_price"],
                        "quantity": line["quantity"],
                        "reason_code": "35",
                    }
                ],
            }
        )
        state = one_order(outside.client, whole["order_id"])["order_state"]
        with pytest.raises(SourceRefused) as caught:
            outside.client.cancel_order(whole["order_id"])
    assert state == "CANCELED"
    assert canceled.order_line_id == line["order_line_id"]
    assert canceled.cancelation_id
    assert (caught.value.operation, caught.value.status) == ("OR29", 400)


def test_an_incident_is_resolved(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=2, return_rate=0.0, incident_rate=0.0) as outside:
        order_id = received_order(outside)
        line_id = one_order(outside.client, order_id)["order_lines"][0]["order_line_id"]
        outside.arrange(lambda world: world.marketplace.open_incident(line_id, "3"))
        outside.client.resolve_incident(order_id, line_id, "10")
        with pytest.raises(SourceRefused) as caught:
            outside.client.resolve_incident(order_id, "no-such-line", "10")
    assert caught.value.operation == "OR64"


def test_a_return_goes_through_its_states(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=2, return_rate=0.0, incident_rate=0.0) as outside:
        order_id = received_order(outside)
        line_id = one_order(outside.client, order_id)["order_lines"][0]["order_line_id"]

        def open_return(world: World) -> None:
            order = world.marketplace.orders[order_id]
            world.returns.open(order, [(line_id, 1, "RETURN_CHANGED_MIND")], "RETURN_METHOD_BY_MAIL")

        outside.arrange(open_return)
        client = outside.client
        (opened,) = rows(client.returns(START, LATER))
        return_id = opened["id"]
        assert (opened["state"], opened["order_id"]) == ("WAITING_ACCEPTANCE", order_id)
        done = [
            client.accept_returns([{"id": return_id, "accepted": True}]),
            client.patch_returns([{"id": return_id, "rma": "RTN-1", "label_url": "https://labels.invalid/1"}]),
            client.receive_returns([return_id]),
            client.report_compliance(
                [{"id": return_id, "return_lines": [{"order_line_id": line_id, "compliant": True}]}]
            ),
            client.close_returns([return_id]),
        ]
        (closed,) = rows(client.returns_by_id([return_id]))
        again = client.receive_returns([return_id, "00000000-0000-0000-0000-000000000000"])
    assert [outcomes[return_id].state for outcomes in done] == [ItemState.DONE] * 5
    assert (closed["state"], closed["rma"]) == ("CLOSED", "RTN-1")
    assert [outcome.state for outcome in again.values()] == [ItemState.REFUSED] * 2
    assert again[return_id].message


def test_parcels_are_confirmed_line_by_line(marketplace: OpenMarketplace) -> None:
    with marketplace(orders=2, multi_shipment=True) as outside:
        outside.advance(days=1)
        order_id, _ = accept_all(outside.client)
        outside.advance(hours=6)
        line = one_order(outside.client, order_id)["order_lines"][0]
        parcel = {
            "order_id": order_id,
            "shipped": False,
            "shipment_lines": [{"order_line_id": line["order_line_id"], "quantity": 1}],
            "tracking": {"carrier_code": "DPDUK", "tracking_number": "T123"},
        }
        made = outside.client.create_shipments([parcel])[order_id]
        shipment_id = made.row["id"]
        shipped = outside.client.ship_shipments([shipment_id])
        by_order = rows(outside.client.shipments([order_id]))
        by_window = rows(outside.client.shipments(updated_from=START, updated_to=LATER))
        unknown = outside.client.create_shipments([parcel | {"order_id": "no-such-order"}])
    assert (made.state, shipped[shipment_id].state) == (ItemState.DONE, ItemState.DONE)
    assert [row["id"] for row in by_order] == [row["id"] for row in by_window] == [shipment_id]
    assert unknown["no-such-order"].state is ItemState.REFUSED


def test_shipments_are_refused_where_multi_shipment_is_off(marketplace: OpenMarketplace) -> None:
    with marketplace() as outside, pytest.raises(SourceRefused) as caught:
        rows(outside.client.shipments(["any"]))
    assert (caught.value.operation, caught.value.status) == ("ST11", 404)


@pytest.mark.proves("R32", "R104")
def test_stock_is_pushed_as_a_file_and_its_errors_are_read(marketplace: OpenMarketplace) -> None:
    with marketplace() as outside:
        client = outside.client
        sku = rows(client.offers())[0]["shop_sku"]
        import_id = client.import_stock([{"offer_sku": sku, "quantity": 7}, {"offer_sku": "NO-SUCH", "quantity": 1}])
        status = client.stock_import_status(import_id)
        (error,) = client.stock_import_errors(import_id)
        quantities = {offer["shop_sku"]: offer["quantity"] for offer in rows(client.offers())}
    assert status.is_finished
    assert (status.state, status.lines_in_success, status.lines_in_error) == (StockImportState.COMPLETE, 1, 1)
    assert (error.offer_sku, quantities[sku]) == ("NO-SUCH", 7)
    assert error.reason


def test_the_money_of_a_cycle_is_read(marketplace: OpenMarketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "TRANSACTIONS_PAGE_MAX", 4)
    with marketplace(orders=2, return_rate=0.0, incident_rate=0.0, days=25) as outside:
        outside.advance(days=25)
        order_id = received_order(outside)
        outside.advance(days=40)
        until = START + timedelta(days=90)
        pages = list(outside.client.transactions(START, until))
        ledger = rows(pages)
        exported = rows(outside.client.transactions_export(START, until))
        cycles = rows(outside.client.billing_cycles(START, until))
        invoices = rows(outside.client.invoices(START, until))
    assert len(pages) > 1
    assert order_id in {row["entities"]["order"]["id"] for row in ledger if (row.get("entities") or {}).get("order")}
    assert {row["id"] for row in exported} == {row["id"] for row in ledger}
    assert all(isinstance(row["amount"], Decimal | int) for row in ledger)
    assert [row["last_updated"] for row in ledger] == sorted(row["last_updated"] for row in ledger)
    assert cycles
    assert all(isinstance(cycle["amount_transferred_to_seller"], Decimal | int) for cycle in cycles)
    assert invoices


def test_the_ledger_is_read_up_to_the_end_of_the_window(
    marketplace: OpenMarketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "TRANSACTIONS_PAGE_MAX", 2)
    with marketplace(orders=2, return_rate=0.0, incident_rate=0.0) as outside:
        received_order(outside)
        everything = rows(outside.client.transactions(START, LATER))
        nothing_after = list(outside.client.transactions(START, START))
    assert len(everything) > 2
    assert len(nothing_after) == 1


def test_the_account_and_the_platform_are_read(marketplace: OpenMarketplace) -> None:
    with marketplace() as outside:
        account = outside.client.account()
        configuration = outside.client.platform_configuration()
        reasons = outside.client.reasons()
        carriers = outside.client.carriers()
    assert account["currency_iso_code"] == "GBP"
    assert configuration["features"]["order_tax_mode"] == "TAX_INCLUDED"
    assert {"REFUND", "CANCELATION"} <= {reason["type"] for reason in reasons}
    assert "DPDUK" in {carrier["code"] for carrier in carriers}
