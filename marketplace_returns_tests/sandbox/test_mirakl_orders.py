"""Orders over HTTP: paging, filters, each refusal of OR21, OR23, OR24, OR28, OR29, OR30, OR64 and the shipments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from marketplace_returns.sandbox.entities import OrderLine
from marketplace_returns.sandbox.world import World
from marketplace_returns_tests.sandbox.conftest import SellerMaker
from marketplace_returns_tests.sandbox.seller import Seller


@pytest.fixture
def seller(make_seller: SellerMaker) -> Seller:
    """A shop with a day of orders waiting."""
    made = make_seller(days=1)
    made.sandbox.advance(timedelta(days=1))
    return made


def first(seller: Seller, state: str) -> dict[str, Any]:
    return seller.orders(order_state_codes=state)[0]


def ship_everything(seller: Seller) -> None:
    seller.work(7)


def test_a_wrong_key_is_401_a_wrong_shop_403_and_an_unknown_path_404(seller: Seller) -> None:
    assert seller.http.get("/api/version", headers={"Authorization": "x"}).status_code == 401
    assert seller.refusal(seller.http.get("/api/version", params={"shop_id": 1}), 403)
    assert seller.refusal(seller.http.get("/api/nothing"), 404) == "Not Found"
    assert seller.refusal(seller.http.delete("/api/orders"), 405)


def test_offset_pages_hold_every_order_once_and_link_to_each_other(seller: Seller) -> None:
    reply = seller.http.get("/api/orders", params={"max": 7})
    seen = [order["order_id"] for order in reply.json()["orders"]]
    while 'rel="next"' in reply.headers.get("link", ""):
        link = next(part for part in reply.headers["link"].split(", ") if part.endswith('rel="next"'))
        reply = seller.http.get(link.split(">")[0].lstrip("<"))
        seen += [order["order_id"] for order in reply.json()["orders"]]
    assert len(seen) == len(set(seen)) == reply.json()["total_count"] == 20
    assert 'rel="previous"' in reply.headers["link"]


def test_lists_are_read_repeated_and_comma_joined_and_at_most_100(seller: Seller) -> None:
    ids = [order["order_id"] for order in seller.orders()][:3]
    assert len(seller.orders(order_ids=",".join(ids))) == 3
    assert len(seller.orders(order_ids=ids)) == 3
    too_many = seller.http.get("/api/orders", params={"order_ids": ",".join(str(n) for n in range(101))})
    assert "limit of 100" in seller.refusal(too_many)


def test_update_windows_are_inclusive_and_show_only_what_changed(seller: Seller) -> None:
    seller.accept_all()
    at = first(seller, "WAITING_DEBIT")["last_updated_date"]
    assert len(seller.orders(start_update_date=at, end_update_date=at)) == 20
    seller.sandbox.advance(timedelta(seconds=1))
    later = seller.world.clock.now().isoformat()
    assert seller.orders(start_update_date=later) == []
    assert "not a date-time" in seller.refusal(seller.http.get("/api/orders", params={"start_date": "yesterday"}))


def test_addresses_and_money_appear_only_at_shipping(seller: Seller) -> None:
    order = first(seller, "WAITING_ACCEPTANCE")
    assert order["customer"]["shipping_address"] is None
    assert seller.get("/api/sellerpayment/transactions_logs", order_id=order["order_id"])["data"] == []
    seller.accept_all()
    assert first(seller, "WAITING_DEBIT")["can_cancel"] is True
    seller.sandbox.advance(timedelta(hours=2))
    order = seller.orders(order_ids=order["order_id"])[0]
    assert order["order_state"] == "SHIPPING"
    assert order["customer"]["shipping_address"]["country_iso_code"] == "GBR"
    lines = seller.get("/api/sellerpayment/transactions_logs", order_id=order["order_id"], limit=100)["data"]
    assert {line["payment_state"] for line in lines} == {"PENDING"}


def test_or21_refuses_with_the_documented_codes(seller: Seller) -> None:
    order = next(one for one in seller.orders() if len(one["order_lines"]) > 1)
    ids = [line["order_line_id"] for line in order["order_lines"]]
    path = f"/api/orders/{order['order_id']}/accept"

    def code(lines: list[dict[str, object]], to: str = path) -> str:
        reply = seller.put(to, {"order_lines": lines})
        return str(reply.json()["errors"][0]["code"])

    assert code([{"id": ids[0], "accepted": True}]) == "ORDER_LINE_ACCEPTANCE_DECISION_MISSING"
    assert code([{"id": "x", "accepted": True}]) == "ORDER_LINE_NOT_FOUND"
    assert code([{"id": ids[0], "accepted": True}] * 2) == "ORDER_LINE_DUPLICATE_ID"
    assert code([{"id": ids[0]}]) == "VALIDATION_ERROR"
    assert code([{"id": "x", "accepted": True}], "/api/orders/none/accept") == "ORDER_NOT_FOUND"
    good = [{"id": one, "accepted": True} for one in ids]
    assert seller.put(path, {"order_lines": good}).status_code == 204
    assert code(good) == "ORDER_INVALID_STATE"


def test_partial_acceptance_can_be_switched_off(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, partial_acceptance=False, lines_per_order=3)
    seller.sandbox.advance(timedelta(days=1))
    order = next(one for one in seller.orders() if len(one["order_lines"]) > 1)
    lines = [{"id": line["order_line_id"], "accepted": number == 0} for number, line in enumerate(order["order_lines"])]
    reply = seller.put(f"/api/orders/{order['order_id']}/accept", {"order_lines": lines})
    assert reply.json()["errors"][0]["code"] == "ORDER_PARTIAL_ACCEPTANCE_DISABLED"


def test_tracking_must_be_there_and_registered_before_shipping(seller: Seller) -> None:
    order_id = first(seller, "WAITING_ACCEPTANCE")["order_id"]
    tracking, ship = f"/api/orders/{order_id}/tracking", f"/api/orders/{order_id}/ship"
    assert "but it is 'WAITING_ACCEPTANCE'" in seller.refusal(seller.put(ship))
    seller.accept_all()
    seller.sandbox.advance(timedelta(hours=2))
    assert seller.refusal(seller.put(ship)) == "Tracking details are mandatory for this shipping method."
    assert "does not exist" in seller.refusal(seller.put(tracking, {"carrier_code": "NOPE", "tracking_number": "1"}))
    assert "mandatory" in seller.refusal(seller.put(tracking, {"carrier_code": "EVRI"}))
    assert "Unregistered" in seller.refusal(seller.put(tracking, {"carrier_name": "Pigeon", "tracking_number": "1"}))
    assert seller.put(tracking, {"carrier_code": "EVRI", "tracking_number": "T1"}).status_code == 204
    assert seller.put(ship).status_code == 204
    assert seller.refusal(seller.put(ship)) == "The order status must be 'SHIPPING' but it is 'SHIPPED'."


def received_line(seller: Seller) -> OrderLine:
    ship_everything(seller)
    return next(
        line
        for order in seller.world.marketplace.orders.values()
        if order.state == "RECEIVED"
        for line in order.lines
        if line.state == "RECEIVED"
    )


def test_or28_refuses_with_the_documented_texts(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, return_rate=0.0, incident_rate=0.0)
    seller.sandbox.advance(timedelta(days=1))
    waiting = first(seller, "WAITING_ACCEPTANCE")["order_lines"][0]["order_line_id"]
    assert "not been debited" in seller.refusal(seller.refund(waiting, 1))
    bad = seller.put("/api/orders/refund", {"refunds": "x"})
    assert seller.refusal(bad) == "Error with field refunds. Please check the field datatype."
    line = received_line(seller)
    assert "is not of type REFUND" in seller.refusal(seller.refund(line.id, 1, reason_code="34"))
    assert "cannot be used by a shop" in seller.refusal(seller.refund(line.id, 1, reason_code="14"))
    assert "exceeds what is left" in seller.refusal(seller.refund(line.id, line.quantity, amount=line.price_minor))
    assert "more decimals" in seller.refusal(seller.refund(line.id, 1, amount="1.001"))
    assert "negative" in seller.refusal(seller.refund(line.id, 1, amount=-1))
    assert "above 0" in seller.refusal(seller.refund(line.id, 1, amount=0))
    assert "currency" in seller.refusal(seller.refund(line.id, 1, currency_iso_code="EUR"))
    assert "does not exist on order line" in seller.refusal(
        seller.refund(line.id, 1, taxes=[{"code": "NOPE", "amount": "0.01"}])
    )
    assert line.refunds == []
    assert seller.refund(line.id, line.quantity).status_code == 200
    assert "exceeds what is left" in seller.refusal(seller.refund(line.id, 1))


def test_or28_is_all_or_nothing(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, return_rate=0.0)
    line = received_line(seller)
    good = {"order_line_id": line.id, "amount": 1, "shipping_amount": 0, "reason_code": "17"}
    reply = seller.put("/api/orders/refund", {"refunds": [good, {**good, "amount": line.price_minor / 100}]})
    assert "exceeds" in seller.refusal(reply)
    assert line.refunds == []
    reply = seller.put("/api/orders/refund", {"refunds": [good, good]})
    assert len({one["order_refund_id"] for one in reply.json()["refunds"]}) == 1
    assert len({one["refund_id"] for one in reply.json()["refunds"]}) == 2


def test_balance_and_partial_refund_permissions_can_be_switched(make_seller: SellerMaker) -> None:
    strict = make_seller(days=1, return_rate=0.0, partial_refunds=False, balance_check=True)
    line = received_line(strict)
    assert "Partial refunds" in strict.refusal(strict.refund(line.id, 1, amount=0.01))
    strict.sandbox.do(lambda: drain(strict.world))
    message = strict.refusal(strict.refund(line.id, line.quantity))
    assert message == "The shop does not have a sufficient payable balance for the refund"


def drain(world: World) -> None:
    """Pay everything out, as a cycle would."""
    world.advance(timedelta(days=11))


def test_taxes_follow_their_rule_and_add_up(make_seller: SellerMaker) -> None:
    for rules, expected in (("proportional", True), ("none", False)):
        seller = make_seller(
            days=1, return_rate=0.0, tax_mode="TAX_EXCLUDED", tax_rules=rules, multi_unit_rate=1.0, incident_rate=0.0
        )
        ship_everything(seller)
        lines = [line for order in seller.world.marketplace.orders.values() for line in order.lines if line.received_at]
        line = next(line for line in lines if line.quantity == 3)
        for _ in range(3):
            assert seller.refund(line.id, 1).status_code == 200
        refunded = line.refunded_tax_minor("VAT20")
        assert refunded == (line.taxes[0].amount_minor if expected else 0)
        if not expected:
            other = next(one for one in lines if one is not line and not one.refunds)
            tax = {"code": "VAT20", "amount": other.taxes[0].amount_minor / 100}
            assert seller.refund(other.id, other.quantity, taxes=[tax]).status_code == 200
            assert other.refunded_tax_minor("VAT20") == other.taxes[0].amount_minor


def test_a_refund_is_paid_later_and_books_its_commission_back(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, return_rate=0.0)
    line = received_line(seller)
    refund_id = seller.refund(line.id, line.quantity).json()["refunds"][0]["refund_id"]

    def state() -> str:
        order = seller.orders(order_ids=seller.world.marketplace.order_of_line[line.id])[0]
        shown = next(one for one in order["order_lines"] if one["order_line_id"] == line.id)
        return str(shown["refunds"][0]["refund_state"])

    assert state() == "WAITING_REFUND"
    seller.sandbox.advance(timedelta(minutes=10))
    assert state() == "WAITING_REFUND_PAYMENT"
    seller.sandbox.advance(timedelta(hours=3))
    assert state() == "REFUNDED"
    assert line.state == "REFUNDED"
    booked = seller.get("/api/sellerpayment/transactions_logs", order_line_id=line.id, limit=100)["data"]
    amounts = {one["type"]: one["amount"] for one in booked if one["entities"].get("refund", {}).get("id") == refund_id}
    assert amounts["REFUND_ORDER_AMOUNT"] == -line.price_minor / 100
    if not line.shipping_minor:
        assert amounts["REFUND_COMMISSION_FEE"] == line.commission_minor / 100


def test_cancelling_works_before_the_debit_only(seller: Seller) -> None:
    waiting = seller.orders(order_state_codes="WAITING_ACCEPTANCE")
    assert seller.put(f"/api/orders/{waiting[0]['order_id']}/cancel").status_code == 204
    line = waiting[1]["order_lines"][0]
    wish = {
        "order_line_id": line["order_line_id"],
        "amount": line["price"],
        "shipping_amount": line["shipping_price"],
        "quantity": line["quantity"],
        "reason_code": "35",
    }
    assert seller.put("/api/orders/cancel", {"cancelations": [wish]}).status_code == 200
    shown = seller.orders(order_ids=waiting[1]["order_id"])[0]["order_lines"][0]
    assert (shown["price"], shown["order_line_state"], len(shown["cancelations"])) == (0, "CANCELED", 1)
    seller.accept_all()
    seller.sandbox.advance(timedelta(hours=2))
    late = first(seller, "SHIPPING")["order_id"]
    assert "cannot be canceled" in seller.refusal(seller.put(f"/api/orders/{late}/cancel"))


def test_an_incident_holds_the_money_until_the_shop_resolves_it(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, return_rate=0.0, incident_rate=1.0)
    ship_everything(seller)
    for _ in range(8):
        seller.work(1)
    order = next(one for one in seller.orders(has_incident="true"))
    line = next(one for one in order["order_lines"] if one["order_line_state"] == "INCIDENT_OPEN")
    booked = seller.get("/api/sellerpayment/transactions_logs", order_line_id=line["order_line_id"], limit=100)["data"]
    open_states = {one["payment_state"] for one in booked}
    path = f"/api/orders/{order['order_id']}/lines/{line['order_line_id']}/resolve_incident"
    assert "not of type INCIDENT_CLOSE" in seller.refusal(seller.put(path, {"reason_code": "17"}))
    assert seller.put(path, {"reason_code": "10"}).status_code == 204
    seller.sandbox.advance(timedelta(hours=2))
    shown = seller.orders(order_ids=order["order_id"])[0]
    assert next(one for one in shown["order_lines"] if one["order_line_id"] == line["order_line_id"])[
        "order_line_state"
    ] in {"RECEIVED", "SHIPPED"}
    assert open_states <= {"PENDING", "PAID"}


def test_shipments_are_404_while_multi_shipment_is_off(seller: Seller) -> None:
    assert seller.refusal(seller.http.get("/api/shipments"), 404)


def test_shipments_refuse_by_item_and_ship_the_order_when_all_is_sent(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, multi_shipment=True, lines_per_order=3)
    seller.sandbox.advance(timedelta(days=1))
    waiting = first(seller, "WAITING_ACCEPTANCE")["order_id"]
    seller.accept_all()
    seller.sandbox.advance(timedelta(hours=2))
    order = next(one for one in seller.orders(order_state_codes="SHIPPING") if len(one["order_lines"]) > 1)
    lines = order["order_lines"]

    def parcel(line: dict[str, Any], quantity: int, number: str) -> dict[str, object]:
        return {
            "order_id": order["order_id"],
            "shipment_lines": [{"order_line_id": line["order_line_id"], "quantity": quantity}],
            "tracking": {"carrier_code": "EVRI", "tracking_number": number},
            "shipped": True,
        }

    bad = [parcel(lines[0], 99, "T0"), {**parcel(lines[0], 1, "T0"), "order_id": "none"}]
    reply = seller.http.post("/api/shipments", json={"shipments": [*bad, parcel(lines[0], lines[0]["quantity"], "T1")]})
    assert reply.status_code == 201
    assert reply.json()["shipment_errors"][0]["message"] == "Shipment quantity is invalid."
    assert len(reply.json()["shipment_success"]) == 1
    rest = [parcel(line, line["quantity"], f"T{number}") for number, line in enumerate(lines[1:], start=2)]
    seller.http.post("/api/shipments", json={"shipments": rest})
    assert seller.orders(order_ids=order["order_id"])[0]["order_state"] == "SHIPPED"
    assert len(seller.get("/api/shipments", order_id=order["order_id"])["data"]) == len(lines)
    unknown = seller.put("/api/shipments/ship", {"shipments": [{"id": "u-1"}]}).json()
    assert unknown["shipment_errors"] == [{"id": "u-1", "message": "No shipment with id 'u-1'."}]
    again = seller.http.post("/api/shipments", json={"shipments": [parcel(lines[0], 1, "T9")]}).json()
    assert again["shipment_errors"][0]["message"] == "The order status must be 'SHIPPING' but it is 'SHIPPED'."
    assert waiting


def test_the_asynchronous_export_holds_the_same_orders(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, export_delay_s=0.0)
    seller.sandbox.advance(timedelta(days=1))
    start = seller.world.config.start
    day = {"start_date": start.isoformat(), "end_date": (start + timedelta(days=1)).isoformat()}
    assert "range is required" in seller.refusal(seller.http.post("/api/orders/async-export", json={}))
    year = {**day, "end_date": "2030-01-01T00:00:00Z"}
    assert "one year" in seller.refusal(seller.http.post("/api/orders/async-export", json=year))
    started = seller.http.post("/api/orders/async-export", json={**day, "items_per_chunk": 12}).json()
    status = seller.get(f"/api/orders/async-export/status/{started['tracking_id']}")
    assert status["status"] == "COMPLETED"
    files = [seller.http.get(url).json()["orders"] for url in status["urls"]]
    assert [order for part in files for order in part] == seller.orders()
