"""Mirakl's published OpenAPI: every answer of the sandbox fits the schema of its operation."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from marketplace_returns_tests.sandbox.conftest import SellerMaker
from marketplace_returns_tests.sandbox.seller import Seller

DOCUMENT = Path(__file__).parents[2].parent / "shared" / "apis" / "mirakl-seller-openapi.json"
pytestmark = pytest.mark.skipif(
    not DOCUMENT.exists(), reason="Mirakl's OpenAPI document does not lie beside the project"
)


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return loaded


@cache
def validator(code: str, status: str) -> Draft202012Validator:
    for methods in document()["paths"].values():
        for operation in methods.values():
            if operation.get("operationId", "").split("_")[0] == code:
                schema = operation["responses"][status]["content"]["application/json"]["schema"]
                return Draft202012Validator({**schema, "components": document()["components"]})
    raise AssertionError(f"no operation {code}")


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def assert_fits(code: str, body: Any, status: str = "200") -> None:
    """Fit the body without its nulls; a required field that is there as null is taken as there."""
    for error in validator(code, status).iter_errors(without_nulls(body)):
        raw = body
        for step in error.absolute_path:
            raw = raw[step]
        missing = error.message.split("'")[1] if error.validator == "required" else None
        if missing is None or missing not in raw:
            pytest.fail(f"{code} {error.json_path}: {error.message[:300]}")


READS = [
    ("A01", "/api/account", {}),
    ("PC01", "/api/platform/configuration", {}),
    ("RE01", "/api/reasons", {}),
    ("SH21", "/api/shipping/carriers", {}),
    ("SH12", "/api/shipping/types", {}),
    ("OR11", "/api/orders", {"max": 100}),
    ("RT11", "/api/returns", {"limit": 100}),
    ("OF21", "/api/offers", {"max": 20}),
    ("OF22", "/api/offers/50000", {}),
    ("TL02", "/api/sellerpayment/transactions_logs", {"limit": 2000}),
    ("SBC11", "/api/seller-billing-cycles", {}),
    ("IV01", "/api/invoices", {"type": "ALL"}),
]


@pytest.mark.parametrize(("code", "path", "query"), READS, ids=[code for code, *_ in READS])
def test_reads_fit_the_published_schema(worked: Seller, code: str, path: str, query: dict[str, object]) -> None:
    body = worked.get(path, **query)
    records = next((value for value in body.values() if isinstance(value, list)), [body])
    assert records, "an empty list would prove nothing"
    assert_fits(code, body)


def test_orders_fit_in_every_state(make_seller: SellerMaker) -> None:
    seller = make_seller(days=2, tax_mode="TAX_EXCLUDED")
    states = set()
    for _ in range(30):
        seller.work(0.25)
        body = seller.get("/api/orders", max=100)
        states |= {order["order_state"] for order in body["orders"]}
        assert_fits("OR11", body)
    seller.sandbox.advance(timedelta(hours=1))
    assert {"WAITING_DEBIT", "SHIPPING", "SHIPPED", "RECEIVED"} <= states


def test_writes_fit_the_published_schema(make_seller: SellerMaker) -> None:
    seller = make_seller(days=2, return_rate=1.0, export_delay_s=0.0)
    for _ in range(60):
        seller.sandbox.advance(timedelta(hours=6))
        seller.accept_all()
        seller.hand_to_warehouse()
        seller.confirm_despatches()
    one = seller.get("/api/returns", return_state="WAITING_ACCEPTANCE")["data"][0]
    assert_fits("RT12", seller.get("/api/returns/items_to_return", order_commercial_id=one["order_commercial_id"]))
    assert_fits("RT04", seller.put("/api/returns", {"returns": [{"id": one["id"], "rma": "k1"}, {"id": "x"}]}).json())
    lines = [
        {
            "order_line_id": line["order_line_id"],
            "compliant": False,
            "non_compliance_reason_code": "RETURN_NON_COMPLIANT_OTHER",
        }
        for line in one["return_lines"]
    ]
    for code, step, more in (
        ("RT21", "accept", {"accepted": True}),
        ("RT25", "receive", {}),
        ("RT26", "compliance", {"return_lines": lines}),
        ("RT27", "close", {}),
        ("RT29", "cancel", {}),
    ):
        assert_fits(code, seller.put(f"/api/returns/{step}", {"returns": [{"id": one["id"], **more}]}).json())
    assert_fits("RT11", seller.get("/api/returns", return_id=one["id"]))
    assert_fits("OR28", seller.refund(one["return_lines"][0]["order_line_id"], 1).json())
    import_id = seller.push_stock()
    assert_fits("STO02", seller.get(f"/api/offers/stock/imports/{import_id}/status"))
    window = {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-02-01T00:00:00Z"}
    started = seller.http.post("/api/orders/async-export", json=window).json()
    assert_fits("OR13", started)
    status = seller.get(f"/api/orders/async-export/status/{started['tracking_id']}")
    assert_fits("OR14", status)
    assert_fits("OR15", seller.http.get(status["urls"][0]).json())


def test_shipments_fit_the_published_schema(make_seller: SellerMaker) -> None:
    seller = make_seller(days=1, multi_shipment=True)
    seller.sandbox.advance(timedelta(days=1))
    waiting = seller.orders(order_state_codes="WAITING_ACCEPTANCE")[0]
    line = waiting["order_lines"][0]
    cancel = {
        "order_line_id": line["order_line_id"],
        "amount": line["price_unit"],
        "shipping_amount": 0,
        "quantity": 1,
        "reason_code": "34",
    }
    assert_fits("OR30", seller.put("/api/orders/cancel", {"cancelations": [cancel]}).json())
    assert_fits("OR11", seller.get("/api/orders", order_ids=waiting["order_id"]))
    seller.accept_all()
    seller.sandbox.advance(timedelta(hours=2))
    order = seller.orders(order_state_codes="SHIPPING")[0]
    parcel = {
        "order_id": order["order_id"],
        "shipment_lines": [{"order_line_id": order["order_lines"][0]["order_line_id"], "quantity": 1}],
        "tracking": {"carrier_code": "EVRI", "tracking_number": "T1"},
    }
    made = seller.http.post("/api/shipments", json={"shipments": [parcel, {**parcel, "order_id": "x"}]}).json()
    assert_fits("ST01", made, "201")
    assert_fits(
        "ST24", seller.put("/api/shipments/ship", {"shipments": [{"id": made["shipment_success"][0]["id"]}]}).json()
    )
    assert_fits("ST11", seller.get("/api/shipments"))
