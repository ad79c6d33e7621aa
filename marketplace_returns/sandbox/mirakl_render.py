"""How the marketplace shows its records: orders, refunds, shipments, returns as JSON-ready dicts.

Here: field names and null habits of OR11, ST11, RT11. Not here: deciding anything. Invariant: personal fields are null before
SHIPPING, and every name and address is made up.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marketplace_returns.sandbox.catalogue import REASON_BY_CODE
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.entities import (
    Cancelation,
    MarketplaceReturn,
    Order,
    OrderLine,
    Refund,
    Shipment,
    Tax,
)
from marketplace_returns.sandbox.marketplace import BEFORE_DEBIT, DEBITED
from marketplace_returns.sandbox.money import to_decimal
from marketplace_returns.sandbox.refunds import REFUNDABLE_STATES

STREETS = ("Example Road", "Sample Street", "Test Lane", "Model Avenue")
TOWNS = (("London", "ZZ1 1AA"), ("Leeds", "ZZ2 2BB"), ("Cardiff", "ZZ3 3CC"), ("Glasgow", "ZZ4 4DD"))
SHOP_RETURN_ADDRESS = {
    "city": "London",
    "country_iso_code": "GBR",
    "state": None,
    "street1": "1 Example Road",
    "street2": None,
    "zip_code": "ZZ1 1AA",
}


def render_order(order: Order, config: WorldConfig) -> dict[str, Any]:
    """An order as OR11 shows it."""
    currency = config.currency
    active = order.active_lines()
    price = sum(line.price_minor for line in active)
    shipping = sum(line.shipping_minor for line in active)
    commission = sum(line.commission_minor + line.commission_vat_minor for line in active)
    shown = order.state in DEBITED
    town, zip_code = TOWNS[order.customer_number % len(TOWNS)]
    address = None
    if shown:
        address = {
            "city": town,
            "civility": None,
            "company": None,
            "company_2": None,
            "country": "United Kingdom",
            "country_iso_code": "GBR",
            "firstname": "Customer",
            "lastname": str(order.customer_number),
            "phone": "00000000000",
            "phone_secondary": None,
            "state": None,
            "street_1": f"{1 + order.customer_number % 200} {STREETS[order.customer_number % len(STREETS)]}",
            "street_2": None,
            "zip_code": zip_code,
        }
    remaining = [line for line in active if line.refunded_minor() < line.price_minor]
    return {
        "acceptance_decision_date": order.decided_at,
        "can_cancel": order.state in BEFORE_DEBIT,
        "can_shop_ship": order.state == "SHIPPING",
        "channel": {"code": "UK", "label": "UK"},
        "commercial_id": order.commercial_id,
        "created_date": order.created_at,
        "currency_iso_code": currency,
        "customer": {
            "billing_address": address,
            "civility": None,
            "customer_id": f"customer-{order.customer_number}",
            "firstname": "Customer",
            "lastname": str(order.customer_number),
            "locale": "en_GB",
            "shipping_address": None if address is None else {**address, "additional_info": None},
        },
        "customer_debited_date": order.debited_at,
        "customer_directly_pays_seller": False,
        "customer_notification_email": f"order-{order.number}@notification.invalid",
        "delivery_date": None,
        "fulfillment": {"center": {"code": "DEFAULT"}},
        "fully_refunded": bool(active) and not remaining,
        "has_customer_message": False,
        "has_incident": order.has_incident(),
        "has_invoice": False,
        "last_updated_date": order.updated_at,
        "leadtime_to_ship": 2,
        "order_additional_fields": [],
        "order_id": order.id,
        "order_lines": [_line(line, order, currency) for line in order.lines],
        "order_refunds": [],
        "order_state": order.state,
        "order_state_reason_code": None,
        "order_state_reason_label": None,
        "order_tax_mode": config.tax_mode,
        "order_taxes": _order_taxes(active, currency),
        "paymentType": "CARD",
        "payment_type": "CARD",
        "payment_workflow": "PAY_ON_ACCEPTANCE",
        "price": to_decimal(price, currency),
        "promotions": {"applied_promotions": [], "total_deduced_amount": to_decimal(0, currency)},
        "quote_id": None,
        "references": {"order_reference_for_customer": order.commercial_id, "order_reference_for_seller": None},
        "shipping_carrier_code": order.carrier_code,
        "shipping_carrier_standard_code": order.carrier_standard_code,
        "shipping_company": order.carrier_name,
        "shipping_deadline": order.shipping_deadline if order.state == "SHIPPING" else None,
        "shipping_price": to_decimal(shipping, currency),
        "shipping_pudo_id": None,
        "shipping_tracking": order.tracking_number,
        "shipping_tracking_url": order.tracking_url,
        "shipping_type_code": "STD",
        "shipping_type_label": "Standard",
        "shipping_type_standard_code": "CB_TRANSBORDER",
        "shipping_zone_code": "UK",
        "shipping_zone_label": "United Kingdom",
        "total_commission": to_decimal(commission, currency),
        "total_price": to_decimal(price + shipping, currency),
        "transaction_date": order.debited_at,
        "transaction_number": order.transaction_number,
    }


def _order_taxes(lines: list[OrderLine], currency: str) -> list[dict[str, Any]]:
    totals: dict[str, list[int]] = {}
    for line in lines:
        for tax in (*line.taxes, *line.shipping_taxes):
            totals.setdefault(tax.code, [tax.rate_percent, 0])[1] += tax.amount_minor
    return [
        {"code": code, "rate": rate, "total_amount": to_decimal(total, currency)}
        for code, (rate, total) in totals.items()
    ]


def _line(line: OrderLine, order: Order, currency: str) -> dict[str, Any]:
    product = line.product
    refundable = (
        line.debited_at is not None
        and order.state in REFUNDABLE_STATES
        and line.price_minor > 0
        and not line.refunds
        and line.state not in {"REFUSED", "CANCELED", "REFUNDED"}
    )
    reason = REASON_BY_CODE.get(line.incident_reason) if line.incident_reason else None
    return {
        "can_refund": refundable,
        "cancelations": [_cancelation(one, line, currency) for one in line.cancelations],
        "category_code": product.category_code,
        "category_label": product.category_label,
        "commission_fee": to_decimal(line.commission_minor, currency),
        "commission_rate_vat": Decimal(20),
        "commission_taxes": [{"amount": to_decimal(line.commission_vat_minor, currency), "code": "VAT20", "rate": 20}],
        "commission_vat": to_decimal(line.commission_vat_minor, currency),
        "created_date": order.created_at,
        "debited_date": line.debited_at,
        "description": None,
        "fees": [],
        "last_updated_date": line.updated_at,
        "offer_id": product.offer_id,
        "offer_sku": product.sku,
        "offer_state_code": "11",
        "order_line_additional_fields": [],
        "order_line_id": line.id,
        "order_line_index": line.index,
        "order_line_state": line.state,
        "order_line_state_reason_code": reason.code if reason else None,
        "order_line_state_reason_label": reason.label if reason else None,
        "origin_unit_price": to_decimal(line.unit_minor, currency),
        "price": to_decimal(line.price_minor, currency),
        "price_additional_info": None,
        "price_unit": to_decimal(line.unit_minor, currency),
        "product_medias": [],
        "product_shop_sku": product.sku,
        "product_sku": product.product_sku,
        "product_title": product.title,
        "promotions": [],
        "quantity": line.quantity,
        "received_date": line.received_at,
        "refunds": [render_refund(one, line, currency) for one in line.refunds],
        "shipped_date": line.shipped_at,
        "shipping_from": None,
        "shipping_price": to_decimal(line.shipping_minor, currency),
        "shipping_price_additional_unit": None,
        "shipping_price_unit": None,
        "shipping_taxes": [_tax(tax, currency) for tax in line.shipping_taxes],
        "tax_legal_notice": None,
        "taxes": [_tax(tax, currency) for tax in line.taxes],
        "total_commission": to_decimal(line.commission_minor + line.commission_vat_minor, currency),
        "total_price": to_decimal(line.price_minor + line.shipping_minor, currency),
    }


def _tax(tax: Tax, currency: str) -> dict[str, Any]:
    return {
        "amount": to_decimal(tax.amount_minor, currency),
        "code": tax.code,
        "rate": tax.rate_percent,
        "tax_calculation_rule": tax.rule,
    }


def tax_amounts(amounts: dict[str, int], taxes: list[Tax], currency: str) -> list[dict[str, Any]]:
    """Refunded or cancelled taxes by code, with the rate of the line's tax."""
    rates = {tax.code: tax.rate_percent for tax in taxes}
    return [
        {"amount": to_decimal(value, currency), "code": code, "rate": rates.get(code)}
        for code, value in amounts.items()
    ]


def render_refund(refund: Refund, line: OrderLine, currency: str) -> dict[str, Any]:
    """A refund as OR11 shows it inside its line."""
    total = refund.commission_minor + refund.commission_vat_minor
    return {
        "amount": to_decimal(refund.amount_minor, currency),
        "commission_amount": to_decimal(refund.commission_minor, currency),
        "commission_tax_amount": to_decimal(refund.commission_vat_minor, currency),
        "commission_taxes": [{"amount": to_decimal(refund.commission_vat_minor, currency), "code": "VAT20"}],
        "commission_total_amount": to_decimal(total, currency),
        "created_date": refund.created_at,
        "fees": [],
        "id": refund.id,
        "order_refund_id": refund.order_refund_id,
        "quantity": refund.quantity,
        "reason_code": refund.reason_code,
        "refund_state": refund.state,
        "shipping_amount": to_decimal(refund.shipping_minor, currency),
        "shipping_taxes": tax_amounts(refund.shipping_taxes, line.shipping_taxes, currency),
        "state": refund.state,
        "tax_legal_notice": None,
        "taxes": tax_amounts(refund.taxes, line.taxes, currency),
        "transaction_date": refund.transaction_at,
        "transaction_number": refund.transaction_number,
    }


def _cancelation(one: Cancelation, line: OrderLine, currency: str) -> dict[str, Any]:
    return {
        "amount": to_decimal(one.amount_minor, currency),
        "commission_amount": to_decimal(one.commission_minor, currency),
        "commission_taxes": [{"amount": to_decimal(one.commission_vat_minor, currency), "code": "VAT20"}],
        "commission_total_amount": to_decimal(one.commission_minor + one.commission_vat_minor, currency),
        "created_date": one.created_at,
        "fees": [],
        "id": one.id,
        "quantity": one.quantity,
        "reason_code": one.reason_code,
        "shipping_amount": to_decimal(one.shipping_minor, currency),
        "shipping_taxes": tax_amounts(one.shipping_taxes, line.shipping_taxes, currency),
        "taxes": tax_amounts(one.taxes, line.taxes, currency),
    }


def render_shipment(shipment: Shipment, order: Order) -> dict[str, Any]:
    """A shipment as ST01 and ST11 show it."""
    skus = {line.id: line.product.sku for line in order.lines}
    return {
        "created_date": shipment.created_at,
        "id": shipment.id,
        "invoice_reference": shipment.invoice_reference,
        "last_updated_date": shipment.updated_at,
        "order_id": shipment.order_id,
        "payment_details": {
            "customer_debited_date": order.debited_at,
            "transaction_date": order.debited_at,
            "transaction_number": order.transaction_number,
        },
        "shipment_additional_information": [],
        "shipment_lines": [
            {
                "offer_sku": skus[line_id],
                "order_line_id": line_id,
                "package_reference": shipment.packages.get(line_id),
                "quantity": quantity,
            }
            for line_id, quantity in shipment.quantities.items()
        ],
        "shipped_date": shipment.shipped_at,
        "shipping_from": None,
        "status": shipment.state,
        "status_customer_debit": "DEBIT_OK",
        "tracking": _tracking(shipment),
    }


def _tracking(one: Shipment | MarketplaceReturn) -> dict[str, Any] | None:
    if not (one.carrier_code or one.carrier_name or one.tracking_number):
        return None
    return {
        "carrier_code": one.carrier_code,
        "carrier_name": one.carrier_name,
        "carrier_standard_code": one.carrier_standard_code,
        "tracking_number": one.tracking_number,
        "tracking_url": one.tracking_url,
    }


def render_return(one: MarketplaceReturn) -> dict[str, Any]:
    """A return as RT01, RT04 and RT11 show it."""
    return {
        "date_created": one.created_at,
        "description": one.description,
        "documents": [],
        "id": one.id,
        "label_url": one.label_url,
        "last_updated": one.updated_at,
        "method_code": one.method_code,
        "order_commercial_id": one.order_commercial_id,
        "order_id": one.order_id,
        "reason_code": one.reason_code,
        "rejection_reason_code": one.rejection_reason,
        "return_address": one.return_address or SHOP_RETURN_ADDRESS,
        "return_lines": [
            {
                "compliance": None
                if line.compliant is None
                else [
                    {
                        "compliant": line.compliant,
                        "non_compliance_additional_info": line.non_compliance_info,
                        "non_compliance_reason_code": line.non_compliance_reason,
                    }
                ],
                "order_line_id": line.order_line_id,
                "quantity": line.quantity,
                "reason_code": line.reason_code,
            }
            for line in one.lines
        ],
        "rma": one.rma,
        "state": one.state,
        "tracking": _tracking(one),
    }
