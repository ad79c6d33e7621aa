"""Objects of the sources as they come, made up, for the lake's tests."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from marketplace_returns.lake.connection import Lake

Json = dict[str, Any]


@dataclass(frozen=True)
class StorageSettings:
    data_dir: Path
    lake_catalog: str = ""
    lake_storage: str = ""
    lake_memory_mb: int = 2_600


class OvertakenLake(Lake):
    """A lake where another writer commits between what a pull reads and its turn to write, once."""

    overtake: Callable[[], object] | None = None

    def transact(self, *args: Any, **options: Any) -> Any:
        overtake, type(self).overtake = type(self).overtake, None
        if overtake is not None:
            overtake()
        return super().transact(*args, **options)


def copy_of(data_dir: Path, place: Path) -> Lake:
    """Copy a data folder with a lake in it, and return the lake of the copy."""
    shutil.copytree(data_dir, place / "data")
    folder = place / "data" / "lake"
    return Lake(folder, storage=str(folder / "files"))


def mirakl_order(number: int = 1, **changes: Any) -> Json:
    """An order of two units on one line, part of it refunded and part of it cancelled."""
    order_id = f"ORDER-{number}-A"
    order: Json = {
        "order_id": order_id,
        "commercial_id": f"ORDER-{number}",
        "order_state": "SHIPPED",
        "order_tax_mode": "TAX_INCLUDED",
        "currency_iso_code": "GBP",
        "price": Decimal("40.00"),
        "shipping_price": Decimal("3.50"),
        "total_price": Decimal("43.50"),
        "total_commission": Decimal("7.83"),
        "created_date": "2026-10-01T09:00:00Z",
        "last_updated_date": "2026-10-02T10:00:00Z",
        "acceptance_decision_date": "2026-10-01T09:05:00Z",
        "customer_debited_date": None,
        "has_incident": False,
        "can_cancel": False,
        "fully_refunded": False,
        "payment_workflow": "PAY_ON_ACCEPTANCE",
        "shipping_type_code": "STD",
        "channel": {"code": "UK", "label": "UK"},
        "customer": {
            "customer_id": "customer-1",
            "firstname": "Customer",
            "shipping_address": {"city": "Testtown", "country_iso_code": "GBR", "street_1": "1 Test Lane"},
        },
        "customer_notification_email": "order-1@notification.invalid",
        "order_lines": [mirakl_line(order_id)],
    }
    return order | changes


def mirakl_line(order_id: str, index: int = 1, **changes: Any) -> Json:
    line_id = f"{order_id}-{index}"
    line: Json = {
        "order_line_id": line_id,
        "order_line_index": index,
        "order_line_state": "SHIPPED",
        "order_line_state_reason_code": None,
        "offer_sku": "SKU-1-M",
        "offer_id": 1001,
        "product_sku": "900000001",
        "category_code": "dresses",
        "quantity": 2,
        "price_unit": Decimal("20.005"),
        "price": Decimal("40.00"),
        "shipping_price": Decimal("3.50"),
        "total_price": Decimal("43.50"),
        "commission_fee": Decimal("6.53"),
        "commission_vat": Decimal("1.30"),
        "can_refund": False,
        "created_date": "2026-10-01T09:00:00Z",
        "last_updated_date": "2026-10-02T10:00:00Z",
        "debited_date": "2026-10-01T09:10:00Z",
        "shipped_date": "2026-10-01T18:00:00Z",
        "taxes": [_tax("VAT20", "6.67")],
        "shipping_taxes": [_tax("VAT20", "0.58")],
        "commission_taxes": [{"code": "VAT20", "amount": Decimal("1.30")}],
        "refunds": [
            {
                "id": f"REFUND-{line_id}",
                "order_refund_id": "1",
                "refund_state": "REFUNDED",
                "reason_code": "17",
                "quantity": 1,
                "amount": Decimal("20.00"),
                "shipping_amount": None,
                "commission_amount": Decimal("3.00"),
                "commission_taxes": [{"code": "VAT20", "amount": Decimal("0.60")}],
                "taxes": [{"code": "VAT20", "amount": Decimal("3.33")}, {"code": "ECO", "amount": Decimal("0.10")}],
                "shipping_taxes": [],
                "created_date": "2026-10-02T09:00:00Z",
                "transaction_date": "2026-10-02T09:30:00Z",
                "transaction_number": "TX-1",
            }
        ],
        "cancelations": [
            {
                "id": f"CANCEL-{line_id}",
                "quantity": 1,
                "reason_code": "34",
                "amount": Decimal("20.00"),
                "shipping_amount": Decimal(0),
                "taxes": [{"code": "VAT20", "amount": Decimal("3.33")}],
                "shipping_taxes": [{"code": "VAT20", "amount": Decimal("0.01")}],
                "created_date": "2026-10-01T10:00:00Z",
            }
        ],
    }
    return line | changes


def _tax(code: str, amount: str) -> Json:
    return {
        "code": code,
        "amount": Decimal(amount),
        "rate": Decimal("20.0"),
        "tax_calculation_rule": "PROPORTIONAL_TO_AMOUNT",
    }


MIRAKL_RETURN: Json = {
    "id": "RETURN-1",
    "order_id": "ORDER-1-A",
    "order_commercial_id": "ORDER-1",
    "state": "IN_PROGRESS",
    "rma": None,
    "method_code": "RETURN_METHOD_BY_MAIL",
    "description": "words of a customer",
    "date_created": "2026-10-04T08:00:00Z",
    "last_updated": "2026-10-05T08:00:00Z",
    "tracking": {"tracking_number": "TRACK-1", "carrier_name": "Carrier"},
    "return_lines": [
        {"order_line_id": "ORDER-1-A-1", "quantity": 1, "reason_code": "RETURN_PDNT_TOO_BIG", "compliance": None},
        {
            "order_line_id": "ORDER-1-A-2",
            "quantity": 2,
            "reason_code": "RETURN_OTHER",
            "compliance": [{"compliant": True}],
        },
    ],
}
MIRAKL_SHIPMENT: Json = {
    "id": "SHIPMENT-1",
    "order_id": "ORDER-1-A",
    "status": "SHIPPED",
    "created_date": "2026-10-01T18:00:00Z",
    "last_updated_date": "2026-10-01T18:05:00Z",
    "shipped_date": "2026-10-01T18:05:00Z",
    "tracking": {"carrier_code": "dpd", "carrier_name": "DPD", "tracking_number": "TRACK-2"},
    "shipment_lines": [{"order_line_id": "ORDER-1-A-1", "quantity": 2, "package_reference": "DESPATCH-1"}],
}
MIRAKL_OFFER: Json = {
    "shop_sku": "SKU-1-M",
    "offer_id": 1001,
    "product_sku": "900000001",
    "product_title": "Dress",
    "category_code": "dresses",
    "quantity": 5,
    "active": False,
    "inactivity_reasons": ["ZERO_QUANTITY"],
    "currency_iso_code": "GBP",
    "price": Decimal("20.00"),
}
MIRAKL_TRANSACTION: Json = {
    "id": "TRANSACTION-1",
    "type": "ORDER_AMOUNT_TAX",
    "payment_state": "PAID",
    "currency_iso_code": "GBP",
    "amount": Decimal("-6.67"),
    "seller_billing_cycle_id": "CYCLE-1",
    "accounting_document_id": "DOC-1",
    "accounting_document_number": "000001",
    "date_created": "2026-10-02T10:00:00Z",
    "last_updated": "2026-10-06T10:00:00Z",
    "entities": {
        "order": {"id": "ORDER-1-A", "payment_info": {"imprint_number": "0000"}},
        "order_line": {"id": "ORDER-1-A-1"},
        "order_tax": {"code": "VAT20", "rate": Decimal(20)},
        "refund": None,
    },
}
MIRAKL_BILLING_CYCLE: Json = {
    "id": "CYCLE-1",
    "date_created": "2026-10-06T10:00:00Z",
    "currency_iso_code": "GBP",
    "amount_transferred_to_seller": Decimal("1234.56"),
    "amount_transferred_to_operator": Decimal("78.90"),
    "payment_voucher_number": "V-1",
    "summary": {
        "total_payable_orders_incl_tax": Decimal("1400.00"),
        "total_commissions_incl_tax": Decimal("-165.44"),
        "total_fee_incl_tax": None,
    },
    "pay_out": {"state": "PAID", "reference": "BANK-1", "transaction_date": "2026-10-08T10:00:00Z"},
}
MIRAKL_INVOICE: Json = {
    "id": "00000000-0000-0000-0000-000000000001",
    "invoice_id": 42,
    "type": "AUTO_INVOICE",
    "state": "COMPLETE",
    "seller_billing_cycle_id": "CYCLE-1",
    "currency_iso_code": "GBP",
    "total_amount_excl_taxes": Decimal("137.87"),
    "total_amount_incl_taxes": Decimal("165.44"),
    "date_created": "2026-10-06T10:00:00Z",
    "issue_date": "2026-10-06T11:00:00Z",
    "summary": {"amount_transferred": Decimal("1234.56")},
    "payment": {"state": "PAID", "reference": "BANK-1"},
    "payment_info": {"iban": "not a real one"},
}
REVENI_RETURN: Json = {
    "id": "rev-1",
    "external_id": "RETURN-1",
    "status": "received",
    "type": "refund",
    "is_instant": False,
    "currency": "GBP",
    "total_amount": "20.00",
    "refund_amount": "20.00",
    "restock_choice": "restock",
    "created_at": "2026-10-04T08:01:00Z",
    "updated_at": "2026-10-07T08:00:00Z",
    "received_at": "2026-10-07T07:00:00+00:00",
    "order": {"external_id": "ORDER-1-A", "name": "ORDER-1"},
    "delivery": {"carrier": "Carrier", "tracking_number": "TRACK-1", "label_url": "https://example.invalid/label"},
    "customer_email": "customer@example.invalid",
    "return_items": [
        {
            "id": "item-1",
            "sku": "SKU-1-M",
            "received_sku": None,
            "quantity": 1,
            "unit_price": "20.005",
            "tax_amount": "3.33",
            "return_reason": "too_big",
            "status": "accepted",
        }
    ],
    "refunds": [
        {
            "id": "ref-1",
            "amount": "20.00",
            "currency": None,
            "method": "original",
            "status": "executed",
            "executed_at": "2026-10-07T09:00:00Z",
            "is_advance": False,
        }
    ],
}
REBOUND_RETURN: Json = {
    "id": "reb-1",
    "external_id": "RETURN-1",
    "order_reference": "ORDER-1-A",
    "date_added": "2026-10-04T08:01:00+00:00",
    "tracking_last_update": "2026-10-07T07:00:00+00:00",
    "status": "processed",
    "carrier": "Carrier",
    "tracking": "TRACK-1",
    "verification_entity": "hub",
    "name": "somebody",
    "addr1": "1 Test Lane",
    "zip": "TE1 1ST",
    "email": "somebody@example.invalid",
    "country": "GB",
    "carrier_name": "Carrier",
    "item": [
        {
            "item_id": "1",
            "line_key": "ORDER-1-A-1",
            "sku_code": "SKU-1-M",
            "received_sku": "",
            "quantity": "2",
            "quantity_received": None,
            "price": "20.00",
            "final_disposition": "sellable",
            "reason": [{"reason": "too_big", "wish": "refund"}],
        },
        {"item_id": "2", "sku_code": "SKU-1-M", "quantity": "1", "final_disposition": "", "reason": []},
    ],
    "track": [
        {"dt": "2026-10-04T08:01:00+00:00", "status": "created", "country": "GB"},
        {"dt": "2026-10-07T07:00:00+00:00", "status": "processed", "country": None},
        {"dt": None, "status": "", "country": None},
    ],
}
RETURNGO_RETURN: Json = {
    "externalId": "RETURN-1",
    "rmaSummary": {
        "rmaId": "RMA7000001",
        "status": "Validated",
        "order_name": "#order-1-a",
        "events": [{"eventName": "RMA_CREATED", "userDetails": {"userEmailAddress": "agent@shop.invalid"}}],
    },
    "orderDetails": {"orderId": 987654321, "order_name": "#order-1-a"},
    "shipments": [
        {"shipmentId": 11, "status": "Pending", "carrierName": "Out", "isOutbound": 1},
        {
            "shipmentId": 12,
            "status": "Shipped",
            "carrierName": "Carrier",
            "trackingNumber": "TRACK-1",
            "labelURL": "https://example.invalid/label",
            "customerAddress": {"name": "somebody", "email": "customer@example.invalid", "phone": "000"},
            "returnAddress": {"name": "somebody"},
            "isOutbound": 0,
        },
    ],
    "items": [
        {
            "returnedItemId": 101,
            "externalId": "ORDER-1-A-1",
            "sku": "SKU-1-M",
            "paidPrice": {"amount": Decimal("20.005"), "currency": "GBP", "shopAmount": 20, "shopCurrency": "GBP"},
            "paidTax": {"amount": Decimal("3.33"), "currency": "GBP"},
            "returnReason": "too_big",
            "extendedReason": " > sleeves",
            "resolutionType": "RefundToPaymentMethod",
            "isAutoApprove": 1,
            "restockingFee": 0,
            "itemValidationStatusResponse": {
                "returnedItemId": 101,
                "isRestockable": 0,
                "isReturned": 1,
                "nonRestockableReason": "Damaged",
                "lastValidationDate": "2026-10-07T08:00:00+00:00",
                "lastValidatedBy": "agent@shop.invalid",
                "userDetails": {"userFirstName": "somebody"},
            },
            "followUpQuestions": [{"answer": {"textAnswer": "words of a customer"}}],
        },
        {
            "returnedItemId": "102",
            "sku": "SKU-1-M",
            "paidPrice": None,
            "itemValidationStatusResponse": {"isRestockable": False, "isReturned": False, "lastValidationDate": None},
        },
    ],
    "comments": [{"htmlText": "<p>somebody wrote</p>"}],
    "transactions": [
        {
            "id": 501,
            "type": "RefundToPaymentMethod",
            "externalReferenceId": None,
            "amount": {"amount": Decimal("20.00"), "currency": "GBP"},
            "status": "Requested",
            "processor": "Shopify",
            "bankAccountDetails": {"iban": "not a real one", "lastName": "somebody"},
            "returnItemIds": [101],
            "createdAt": "2026-10-07T08:00:00+00:00",
            "lastUpdated": "2026-10-07T08:00:00+00:00",
        }
    ],
    "createdAt": "2026-10-04T08:01:00+00:00",
    "lastUpdated": "2026-10-07T08:00:00+00:00",
    "isOutOfPolicy": 0,
}
PEOPLEVOX_DESPATCH: Json = {
    "despatch_number": "DESPATCH-1",
    "sales_order_number": "ORDER-1-A",
    "item_code": "SKU-1-M",
    "row_no": 1,
    "quantity": "2",
    "carrier": "DPD",
    "service": "Next day",
    "tracking_number": "TRACK-2",
    "site": "MAIN",
    "despatched_at": "2026-10-01T17:59:00+00:00",
    "Contact name": "somebody",
}
PEOPLEVOX_RETURN: Json = {
    "return_code": "R-1",
    "sales_order_number": "ORDER-1-A",
    "item_code": "SKU-1-M",
    "row_no": 1,
    "quantity": "1",
    "return_condition": "NEW",
    "is_reusable": "True",
    "return_reason": "",
    "site": "MAIN",
    "returned_at": "2026-10-07T06:00:00+00:00",
}
PEOPLEVOX_STOCK: Json = {"item_code": "SKU-1-M", "site": "MAIN", "available": "-1", "on_hand": "4"}
PEOPLEVOX_SALES_ORDER: Json = {
    "sales_order_number": "ORDER-1-A",
    "status": "Despatched",
    "created_at": "2026-10-01T09:30:00+00:00",
    "Customer name": "somebody",
}
PEOPLEVOX_PURCHASE_ORDER: Json = {"purchase_order_number": "RTN-RETURN-1", "status": "Pending", "reference": ""}
PEOPLEVOX_ITEM_TYPE: Json = {"item_code": "SKU-1-M", "name": "Dress M", "barcode": "0000000000017"}
