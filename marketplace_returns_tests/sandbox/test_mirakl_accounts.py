"""The books over HTTP: payouts to the penny, states of lines, exports, stock imports."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from marketplace_returns.sandbox.accounting import SUMMARY_PAIRS, SUMMARY_SINGLES
from marketplace_returns_tests.sandbox.conftest import SellerMaker
from marketplace_returns_tests.sandbox.seller import Seller


def exact(seller: Seller, path: str, **query: object) -> Any:
    """A JSON answer with its numbers as Decimal."""
    reply = seller.http.get(path, params=query)
    assert reply.status_code == 200, reply.text
    return json.loads(reply.content, parse_float=Decimal)


def all_lines(seller: Seller, **query: object) -> list[dict[str, Any]]:
    page = exact(seller, "/api/sellerpayment/transactions_logs", limit=500, **query)
    lines = list(page["data"])
    while page.get("next_page_token"):
        page = exact(seller, "/api/sellerpayment/transactions_logs", page_token=page["next_page_token"])
        lines += page["data"]
    return lines


def test_every_payout_is_the_sum_of_its_lines_and_its_forty_fields_add_up(worked: Seller) -> None:
    cycles = exact(worked, "/api/seller-billing-cycles", limit=100)["data"]
    assert len(cycles) >= 2
    for cycle in cycles:
        lines = all_lines(worked, seller_billing_cycle_id=cycle["id"])
        amount = sum(line["amount"] for line in lines if line["type"] != "PAYMENT")
        assert amount == cycle["amount_transferred_to_seller"] > 0
        summary = cycle["summary"]
        assert len(summary) == 40
        counted = sum(
            summary[f"{stem}_incl_tax"] for stem in SUMMARY_PAIRS if stem != "total_refund_payable_orders"
        ) + sum(summary[name] for name in SUMMARY_SINGLES)
        assert counted == amount
        if cycle["pay_out"]["state"] == "PAID":
            assert [line["amount"] for line in lines if line["type"] == "PAYMENT"] == [-amount]
            assert cycle["pay_out"]["reference"]
        invoice = exact(worked, "/api/invoices", seller_billing_cycle_id=cycle["id"])["invoices"]
        assert [one["summary"]["amount_transferred"] for one in invoice] == [amount]


def test_balances_are_the_sums_of_the_states(worked: Seller) -> None:
    lines = all_lines(worked)
    balances = exact(worked, "/api/account")["payment_details"]
    for state, name in (("PENDING", "pending_balance"), ("PAYABLE", "payable_balance")):
        assert sum(line["amount"] for line in lines if line["payment_state"] == state) == balances[name]
    assert -sum(line["amount"] for line in lines if line["type"] == "PAYMENT") == balances["paid_balance"]


def test_signs_follow_the_types(worked: Seller) -> None:
    for line in all_lines(worked):
        kind, amount = line["type"], line["amount"]
        plus = kind.startswith(("ORDER_", "REFUND_COMMISSION", "MANUAL_CREDIT"))
        assert (amount > 0) == plus, line
        assert line["amount_credited"] - line["amount_debited"] == amount
        assert "TAX" not in kind or kind == "SELLER_PENALTY_FEE_TAX", "TAX_INCLUDED has no order tax lines"


def test_lines_come_by_update_window_and_type(worked: Seller) -> None:
    lines = all_lines(worked, sort="lastUpdated,ASC")
    assert [line["last_updated"] for line in lines] == sorted(line["last_updated"] for line in lines)
    middle = lines[len(lines) // 2]["last_updated"]
    later = all_lines(worked, last_updated_from=middle)
    assert {line["id"] for line in later} == {line["id"] for line in lines if line["last_updated"] >= middle}
    assert {line["type"] for line in all_lines(worked, transaction_type="PAYMENT,COMMISSION_FEE")} == {
        "PAYMENT",
        "COMMISSION_FEE",
    }


@pytest.mark.parametrize("form", ["JSON", "NDJSON"])
def test_the_asynchronous_log_export_holds_the_same_lines(worked: Seller, form: str) -> None:
    started = worked.http.post(
        "/api/sellerpayment/transactions_logs/async", json={"format": form, "items_per_chunk": 400}
    )
    status = worked.get(f"/api/sellerpayment/transactions_logs/async/status/{started.json()['tracking_id']}")
    ids: list[str] = []
    for url in status["urls"]:
        content = worked.http.get(url).content
        parts = content.splitlines() if form == "NDJSON" else [content]
        for part in parts:
            decoded = msgspec.json.decode(part)
            ids += [decoded["id"]] if form == "NDJSON" else [line["id"] for line in decoded]
    assert sorted(ids) == sorted(line["id"] for line in all_lines(worked))


def test_a_stock_import_takes_time_reports_bad_lines_and_applies_good_ones(make_seller: SellerMaker) -> None:
    seller = make_seller(import_delay_s=30.0)
    sku = next(iter(seller.world.products))
    file = f"offer-sku;quantity;warehouse-code;update-delete\n{sku};5;;update\nnope;1;;\n{sku};minus;;\n"
    import_id = seller.upload(file)
    path = f"/api/offers/stock/imports/{import_id}"
    assert seller.get(f"{path}/status")["status"] == "WAITING"
    assert seller.get("/api/offers", sku=sku)["offers"][0]["quantity"] != 5
    seller.sandbox.advance(timedelta(seconds=1))
    status = seller.get(f"{path}/status")
    assert (status["status"], status["lines_in_success"], status["lines_in_error"]) == ("COMPLETE", 1, 2)
    report = seller.http.get(f"{path}/error_report").text.splitlines()
    assert report[0] == "error-line;error-message;offer-sku;quantity;warehouse-code;update-delete"
    assert report[1].startswith("3;The offer with sku 'nope' does not exist;nope;1")
    assert seller.get("/api/offers", sku=sku)["offers"][0]["quantity"] == 5
    missing = seller.http.post("/api/offers/stock/imports", files={"file": ("s.csv", "sku;qty\n")})
    assert "no column" in seller.refusal(missing)
    assert seller.http.post("/api/offers/stock/imports", content=b"x").status_code == 415


def test_an_order_takes_its_units_off_the_offer(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, orders=1, multi_unit_rate=0.0, lines_per_order=1)
    before = {offer["shop_sku"]: offer["quantity"] for offer in seller.get("/api/offers", max=100)["offers"]}
    seller.sandbox.advance(timedelta(days=1))
    line = seller.orders()[0]["order_lines"][0]
    offer = seller.get(f"/api/offers/{line['offer_id']}")
    assert offer["quantity"] == before[line["offer_sku"]] - line["quantity"]
