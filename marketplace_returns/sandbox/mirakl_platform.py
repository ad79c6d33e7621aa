"""The marketplace's platform and offer operations over HTTP: V01, A01, PC01, RE01, SH12, SH21, OF21, OF22, STO01..STO03.

Here: what the platform says about itself, the shop and its offers. Not here: how an import is applied (offers.py). Invariant: the flags
shown are the config the world really runs by.
"""

from __future__ import annotations

import csv
import io
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from marketplace_returns.sandbox.catalogue import CARRIERS, REASONS, Reason
from marketplace_returns.sandbox.mirakl_call import Call, Reply, encode
from marketplace_returns.sandbox.money import to_decimal
from marketplace_returns.sandbox.offers import Offer, StockImport
from marketplace_returns.sandbox.refusals import RefusedError


def v01(call: Call) -> Reply:
    """V01: health."""
    del call
    return Reply(body=encode({"version": "sandbox"}))


def a01(call: Call) -> Reply:
    """A01: the shop's record with its balances."""
    world, books = call.world, call.world.accounting
    currency = world.config.currency
    now = world.clock.now()
    address = {"city": "London", "street1": "1 Example Road", "zip_code": "ZZ1 1AA", "country": "GBR"}
    balances = {
        "paid_balance": to_decimal(books.paid_out_minor, currency),
        "payable_balance": to_decimal(books.payable_minor, currency),
        "pending_balance": to_decimal(books.pending_minor, currency),
    }
    return Reply(
        body=encode(
            {
                "applicable_taxes": [{"code": "VAT20", "label": "VAT 20 %", "fee_types": []}],
                "billing_info": {},
                "channels": ["UK"],
                "contact_informations": {**address, "email": "shop@sandbox.invalid", "lastname": "Brand"},
                "currency_iso_code": currency,
                "date_created": world.config.start,
                "default_billing_information": {
                    "default_language": "en",
                    "id": "1",
                    "registration_address": {
                        "city": "London",
                        "country_iso_code": "GBR",
                        "street_1": "1 Example Road",
                        "zip_code": "ZZ1 1AA",
                    },
                },
                "domains": ["PRODUCT"],
                "evaluations_count": 0,
                "free_shipping": False,
                "is_professional": True,
                "last_updated_date": now,
                "model": "MARKETPLACE",
                "offers_count": len(world.offers.by_sku),
                "orders_count": len(world.marketplace.orders),
                "payment_details": balances,
                "payment_method_mandatory": False,
                "premium": False,
                "pro_details": {"corporate_name": "Sandbox Brand Ltd"},
                "shipping": {"lead_time_to_ship": 2},
                "shipping_types": ["STD"],
                "shipping_zones": ["UK"],
                "shop_additional_fields": [],
                "shop_id": world.config.shop_id,
                "shop_name": "Sandbox Brand",
                "shop_state": world.config.shop_state,
            }
        )
    )


def pc01(call: Call) -> Reply:
    """PC01: the platform's feature flags."""
    config = call.world.config
    optional = {"mandatory": False, "validation_regex": None}
    features: dict[str, Any] = {
        "catalog": {
            "allow_shop_contribution_to_all_channels": False,
            "exclude_invalid_products": False,
            "list_of_multiple_values_separator": "|",
            "product_acceptance_by_channel": False,
            "product_data_validation_by_channel": False,
            "product_import_only_on_leaf": False,
        },
        "circular_economy_data_collection": False,
        "competitive_pricing_tool": False,
        "direct_payment_customer_store": {"activated": False, "refund_cancel_authorized": False},
        "dropship": {},
        "disable_seller_alternative_carrier": not config.alternative_carriers,
        "kyc_status_per_seller": False,
        "lead_time_to_ship_by_sellers_enabled": "NO",
        "multi_currency": False,
        "multi_payout_psp_per_seller": False,
        "no_reply_needed": False,
        "offer_prices_decimals": "2",
        "operator_csv_delimiter": "SEMICOLON",
        "order_conditions": {
            "lead_time_to_ship": False,
            "maximum_order_quantity": False,
            "minimum_order_quantity": False,
            "package_order_quantity": False,
        },
        "order_tax_mode": config.tax_mode,
        "order_workflows": {
            "no_customer_payment_confirmation": False,
            "order_acceptance": config.order_acceptance,
            "pause_debit_workflow": False,
            "pay_on_due_date": False,
            "pay_on_shipment": False,
            "sellers_edit_shipping_origin": False,
            "shipping_and_billing_details_before_acceptance": False,
        },
        "payment_confirmation": True,
        "pricing": {
            "channel_pricing": "DISABLED",
            "discount_period_required": False,
            "discount_price_creation_in_the_past_blocked": False,
            "scheduled_pricing": False,
            "volume_discount": False,
            "volume_pricing": False,
        },
        "product_data_validation_by_channel": False,
        "promotion": {"cart_promotion_campaign": False, "discount_campaign": False, "seller_promotion": False},
        "returns": {"drop_ship": False, "marketplace": config.returns_api, "one_creditor": False},
        "shipment": {"multi_part_item_shipment": False, "multi_shipment": config.multi_shipment},
        "shop_tax_options": {"tax_identification_number": optional},
        "tax_collection": {
            "activated": "NO",
            "product_tax_code_mandatory": False,
            "tax_collection_by_operator": False,
        },
        "tax_id_number": optional,
        "warehouses": {"geolocation": False, "restricted_countries": []},
    }
    modules = {
        "mirakl_catalog_integrator": True,
        "mirakl_catalog_manager": False,
        "mirakl_catalog_transformer": False,
        "mirakl_platform_services": False,
        "offer_management": True,
        "offer_management_mode": "STANDARD",
        "order_management": True,
        "order_management_mode": "STANDARD",
        "promotions": False,
        "quotes": False,
        "tax_manager": {"activated": False, "tax_provider": {"avalara": False, "vertex": False}},
    }
    platform = {
        "customer_model": {"b2b": False, "b2c": True},
        "enhanced_seller_invoicing": {"enabled": False},
        "platform_model": {"drop_ship": False, "marketplace": True, "one_creditor": False},
    }
    return Reply(
        body=encode(
            {
                "features": features,
                "modules": modules,
                "platform_configuration": platform,
                "platform_name": "Sandbox Marketplace",
                "tenant_name": "sandbox",
                "timezone": "Europe/London",
            }
        )
    )


def re01(call: Call) -> Reply:
    """RE01: all reason codes by type."""
    config = call.world.config
    added = [Reason(code, kind, code.capitalize(), True) for kind, code in config.extra_reasons]
    shown = [
        {"code": one.code, "is_shop_right": one.is_shop_right, "label": one.label, "type": one.type}
        for one in (*REASONS, *added)
        if one.code not in config.hidden_reasons
    ]
    return Reply(body=encode({"reasons": shown, "total_count": len(shown)}))


def sh21(call: Call) -> Reply:
    """SH21: registered carriers, alphabetical."""
    hidden = call.world.config.hidden_carriers
    shown = [
        {"code": one.code, "label": one.label, "standard_code": one.standard_code, "tracking_url": one.tracking_url}
        for one in sorted(CARRIERS, key=lambda carrier: carrier.label)
        if one.code not in hidden
    ]
    return Reply(body=encode({"carriers": shown}))


def sh12(call: Call) -> Reply:
    """SH12: shipping types."""
    del call
    standard = {
        "click_and_collect": False,
        "code": "STD",
        "delivery_by_operator": False,
        "description": "Standard delivery",
        "label": "Standard",
        "mandatory_tracking": True,
    }
    return Reply(body=encode({"shipping_types": [standard]}))


# -- offers --------------------------------------------------------------------------------------------------------------


def of21(call: Call) -> Reply:
    """OF21: the shop's offers, by sku or all; offset pages."""
    offers = call.world.offers

    def match() -> list[str]:
        skus = call.texts("sku")
        return [sku for sku in offers.by_sku if not skus or sku in skus]

    keys, total, headers = call.offset_page(match)
    shown = [_offer(offers.by_sku[key], call) for key in keys]
    return Reply(body=encode({"offers": shown, "total_count": total}), headers=headers)


def of22(call: Call) -> Reply:
    """OF22: one offer."""
    text = call.arguments[0]
    offer = call.world.offers.by_id.get(int(text)) if text.isdigit() else None
    if offer is None:
        raise RefusedError(f"Offer with id '{text}' not found", status=404)
    return Reply(body=encode(_offer(offer, call)))


def _offer(offer: Offer, call: Call) -> dict[str, Any]:
    product, currency = offer.product, call.world.config.currency
    price = to_decimal(product.price_minor, currency)
    pricing = {"price": price, "unit_origin_price": price, "volume_prices": []}
    return {
        "active": offer.quantity > 0,
        "all_prices": [pricing],
        "allow_quote_requests": False,
        "applicable_pricing": pricing,
        "category_code": product.category_code,
        "category_label": product.category_label,
        "channels": ["UK"],
        "currency_iso_code": currency,
        "description": product.title,
        "fulfillment": {"center": {"code": "DEFAULT"}},
        "inactivity_reasons": [] if offer.quantity else ["ZERO_QUANTITY"],
        "leadtime_to_ship": 2,
        "logistic_class": {"code": "S", "label": "Small"},
        "max_order_quantity": 0,
        "min_order_quantity": 0,
        "min_quantity_alert": 0,
        "min_shipping_price": to_decimal(395, currency),
        "min_shipping_price_additional": to_decimal(0, currency),
        "min_shipping_type": "STD",
        "min_shipping_zone": "UK",
        "offer_additional_fields": [],
        "offer_id": product.offer_id,
        "package_quantity": 0,
        "price": price,
        "product_brand": "Sandbox Brand",
        "product_references": [{"reference": product.barcode, "reference_type": "EAN"}],
        "product_sku": product.product_sku,
        "product_title": product.title,
        "quantity": offer.quantity,
        "shipping_deadline": call.world.clock.now(),
        "shop_sku": product.sku,
        "state_code": "11",
        "total_price": price,
    }


def sto01(call: Call) -> Reply:
    """STO01: accept a stock file; 201 says only that it was accepted."""
    started = call.world.offers.start_import(_uploaded_file(call))
    return Reply(201, encode({"import_id": started.id}))


def _uploaded_file(call: Call) -> str:
    if not call.content_type.startswith("multipart/form-data"):
        raise RefusedError("The request must be multipart/form-data with a part named file", status=415)
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + call.content_type.encode() + b"\r\n\r\n" + call.body
    )
    for part in message.iter_parts():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return content.decode("utf-8-sig", errors="replace")
    raise RefusedError("The part named file is missing", field="file")


def _find_import(call: Call) -> StockImport:
    found = call.world.offers.imports.get(call.arguments[0])
    if found is None:
        raise RefusedError(f"Stock import with id '{call.arguments[0]}' not found", status=404)
    return found


def sto02(call: Call) -> Reply:
    """STO02: how far a stock import is."""
    call.world.offers.settle_imports()
    one = _find_import(call)
    done = one.status == "COMPLETE"
    return Reply(
        body=encode(
            {
                "date_created": one.created_at,
                "has_error_report": done and bool(one.errors),
                "import_id": one.id,
                "lines_in_error": len(one.errors) if done else 0,
                "lines_in_success": one.lines_in_success if done else 0,
                "shop_id": call.world.config.shop_id,
                "status": one.status,
            }
        )
    )


def sto03(call: Call) -> Reply:
    """STO03: the lines of an import that failed: line number, reason, then the original columns."""
    one = _find_import(call)
    if one.status != "COMPLETE" or not one.errors:
        raise RefusedError("There is no error report for this import", status=404)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerow(["error-line", "error-message", *one.header])
    for number, reason in one.errors:
        writer.writerow([number, reason, *one.rows[number - 2]])
    return Reply(body=text.getvalue().encode(), content_type="text/csv")
