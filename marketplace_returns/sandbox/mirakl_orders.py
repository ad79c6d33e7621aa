"""The marketplace's order and shipment operations over HTTP: OR11..OR15, OR21..OR30, OR64, ST01, ST11, ST24.

Here: reading the request, calling the world, showing the answer. Not here: state rules (marketplace.py, refunds.py). Invariant:
ST operations answer 404 while multi-shipment is off.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from marketplace_returns.sandbox.entities import Order
from marketplace_returns.sandbox.marketplace import CancelationWish, Tracking
from marketplace_returns.sandbox.mirakl_call import (
    Call,
    Reply,
    amount,
    code_amounts,
    encode,
    parse_instant,
    required_string,
    string,
    whole,
    within,
)
from marketplace_returns.sandbox.mirakl_exports import start_export
from marketplace_returns.sandbox.mirakl_render import render_order, render_shipment, tax_amounts
from marketplace_returns.sandbox.money import to_decimal
from marketplace_returns.sandbox.refunds import RefundWish
from marketplace_returns.sandbox.refusals import RefusedError

SHIPMENTS_MAX = 1000
REFUNDS_MAX = 1000
EXPORT_RANGE_MAX = timedelta(days=366)


def or11(call: Call) -> Reply:
    """OR11: orders by id, state, creation and update window; offset pages, oldest creation first unless order=desc."""
    _check_tax_mode(call.text("order_tax_mode"), call)
    keys, total, headers = call.offset_page(lambda: _matching_orders(call))
    orders, config = call.world.marketplace.orders, call.world.config
    body = encode({"orders": [render_order(orders[key], config) for key in keys], "total_count": total})
    return Reply(body=body, headers=headers)


def _check_tax_mode(mode: object, call: Call) -> None:
    own = call.world.config.tax_mode
    if mode is not None and mode != own:
        raise RefusedError(
            f"The order_tax_mode '{mode}' is not available: this platform's is {own}", field="order_tax_mode"
        )


def _matching_orders(call: Call) -> list[str]:
    market = call.world.marketplace
    ids = call.texts("order_ids")
    references = call.texts("order_references_for_customer")
    states = call.texts("order_state_codes")
    created = (call.instant("start_date"), call.instant("end_date"))
    updated = (call.instant("start_update_date"), call.instant("end_update_date"))
    debited, incident = call.flag("customer_debited"), call.flag("has_incident")

    def wanted(order: Order) -> bool:
        return (
            (not states or order.state in states)
            and (not references or order.commercial_id in references)
            and within(order.created_at, *created)
            and within(order.updated_at, *updated)
            and (debited is None or (order.debited_at is not None) == debited)
            and (incident is None or order.has_incident() == incident)
        )

    candidates: list[Order]
    if ids:
        candidates = [market.orders[key] for key in ids if key in market.orders]
    elif updated[0] is not None:
        candidates = [market.orders[key] for key in market.changes.since(updated[0])]
    else:
        candidates = list(market.orders.values())
    found = [order for order in candidates if wanted(order)]
    found.sort(key=lambda order: order.number, reverse=call.text("order") == "desc")
    return [order.id for order in found]


def or13(call: Call) -> Reply:
    """OR13: start an asynchronous export of orders; needs both ends of a range of at most a year."""
    body = call.json()
    bounds = [
        (parse_instant(str(body[low]), low), parse_instant(str(body[high]), high))
        for low, high in (("start_date", "end_date"), ("start_update_date", "end_update_date"))
        if body.get(low) and body.get(high)
    ]
    if not bounds:
        raise RefusedError(
            "A date range is required: start_date and end_date, or start_update_date and end_update_date"
        )
    if any(high - low > EXPORT_RANGE_MAX for low, high in bounds):
        raise RefusedError("The date range cannot exceed one year")
    names = ("order_state_codes", "start_date", "end_date", "start_update_date", "end_update_date")
    call.query = {name: _as_list(body[name]) for name in names if body.get(name)}
    _check_tax_mode(body.get("order_tax_mode"), call)
    size = int(body.get("items_per_chunk") or 10_000)
    orders, config = call.world.marketplace.orders, call.world.config
    keys = _matching_orders(call)
    files = [
        encode({"orders": [render_order(orders[key], config) for key in keys[first : first + size]]})
        for first in range(0, max(1, len(keys)), size)
    ]
    return start_export(call, "orders", files, "application/json")


def _as_list(value: object) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list) else [str(value)]


def or21(call: Call) -> Reply:
    """OR21: accept or refuse every line of an order waiting for acceptance."""
    items = call.objects("order_lines", 10_000)
    decisions = []
    for item in items:
        if not isinstance(item.get("accepted"), bool):
            raise RefusedError("The field accepted is required", code="VALIDATION_ERROR", field="accepted")
        decisions.append((required_string(item, "id"), item["accepted"]))
    call.world.marketplace.accept(call.arguments[0], decisions)
    return Reply(204)


def or23(call: Call) -> Reply:
    """OR23: set the tracking of an order."""
    body = call.json()
    call.world.marketplace.set_tracking(call.arguments[0], read_tracking(body, url="carrier_url"))
    return Reply(204)


def read_tracking(item: dict[str, Any], url: str = "tracking_url") -> Tracking:
    """Tracking details of a body; empty strings count as absent."""
    names = ("carrier_code", "carrier_name", "carrier_standard_code", "tracking_number")
    values = {name: string(item, name, required=False) if item.get(name) else None for name in names}
    return Tracking(**values, tracking_url=string(item, url, required=False) if item.get(url) else None)


def or24(call: Call) -> Reply:
    """OR24: confirm the order as shipped."""
    call.world.marketplace.ship(call.arguments[0])
    return Reply(204)


def or28(call: Call) -> Reply:
    """OR28: refund order lines, all or none."""
    world = call.world
    currency = world.config.currency
    _check_tax_mode(call.json().get("order_tax_mode"), call)
    wishes = []
    for item in call.objects("refunds", REFUNDS_MAX):
        if item.get("currency_iso_code") not in {None, currency}:
            raise RefusedError(f"The currency must be {currency}", field="currency_iso_code")
        wishes.append(
            RefundWish(
                line_id=required_string(item, "order_line_id"),
                amount_minor=amount(item, "amount", currency),
                shipping_minor=amount(item, "shipping_amount", currency),
                reason_code=required_string(item, "reason_code"),
                quantity=whole(item, "quantity", 0),
                taxes=code_amounts(item, "taxes", currency),
                shipping_taxes=code_amounts(item, "shipping_taxes", currency),
                excluded_from_shipment=bool(item.get("excluded_from_shipment", False)),
            )
        )
    made = world.refunds.refund(wishes)
    shown = []
    for wish, refund in zip(wishes, made, strict=True):
        _, line = world.marketplace.find_line(refund.line_id)
        shown.append(
            {
                "amount": to_decimal(refund.amount_minor, currency),
                "currency_iso_code": currency,
                "excluded_from_shipment": wish.excluded_from_shipment,
                "fees": [],
                "order_line_id": refund.line_id,
                "order_refund_id": refund.order_refund_id,
                "quantity": refund.quantity,
                "reason_code": refund.reason_code,
                "refund_id": refund.id,
                "shipping_amount": to_decimal(refund.shipping_minor, currency),
                "shipping_taxes": tax_amounts(refund.shipping_taxes, line.shipping_taxes, currency),
                "taxes": tax_amounts(refund.taxes, line.taxes, currency),
            }
        )
    return Reply(body=encode({"order_tax_mode": world.config.tax_mode, "refunds": shown}))


def or29(call: Call) -> Reply:
    """OR29: cancel the whole order before the customer is debited."""
    call.world.marketplace.cancel(call.arguments[0])
    return Reply(204)


def or30(call: Call) -> Reply:
    """OR30: cancel parts of lines before the customer is debited."""
    world = call.world
    currency = world.config.currency
    _check_tax_mode(call.json().get("order_tax_mode"), call)
    wishes = [
        CancelationWish(
            required_string(item, "order_line_id"),
            amount(item, "amount", currency),
            amount(item, "shipping_amount", currency),
            whole(item, "quantity"),
            required_string(item, "reason_code"),
        )
        for item in call.objects("cancelations", REFUNDS_MAX)
    ]
    shown = [
        {
            "amount": to_decimal(made.amount_minor, currency),
            "cancelation_id": made.id,
            "currency_iso_code": currency,
            "order_line_id": wish.line_id,
            "quantity": made.quantity,
            "reason_code": made.reason_code,
            "shipping_amount": to_decimal(made.shipping_minor, currency),
            "shipping_taxes": tax_amounts(made.shipping_taxes, [], currency),
            "taxes": tax_amounts(made.taxes, [], currency),
        }
        for wish, made in world.marketplace.cancel_lines(wishes)
    ]
    return Reply(body=encode({"cancelations": shown, "order_tax_mode": world.config.tax_mode}))


def or64(call: Call) -> Reply:
    """OR64: say that the incident of a line is solved."""
    order_id, line_id = call.arguments
    call.world.marketplace.resolve_incident(order_id, line_id, required_string(call.json(), "reason_code"))
    return Reply(204)


# -- shipments -----------------------------------------------------------------------------------------------------------


def _need_multi_shipment(call: Call) -> None:
    if not call.world.config.multi_shipment:
        raise RefusedError("Not Found", status=404)


def st01(call: Call) -> Reply:
    """ST01: create shipments; partial success inside 201."""
    _need_multi_shipment(call)
    market = call.world.marketplace
    success: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for item in call.objects("shipments", SHIPMENTS_MAX):
        order_id = required_string(item, "order_id")
        try:
            tracking = item.get("tracking")
            quantities, packages = _shipment_lines(item, market.order(order_id))
            made = market.create_shipment(
                order_id,
                quantities,
                read_tracking(tracking) if isinstance(tracking, dict) else None,
                shipped=item.get("shipped") is True,
                invoice=string(item, "invoice_reference", required=False),
                packages=packages,
            )
        except RefusedError as refused:
            errors.append({"order_id": order_id, "message": refused.message})
        else:
            success.append(render_shipment(made, market.orders[order_id]))
    return Reply(201, encode({"shipment_success": success, "shipment_errors": errors}))


def _shipment_lines(item: dict[str, Any], order: Order) -> tuple[dict[str, int], dict[str, str]]:
    """Read units and package reference by order line id."""
    lines = item.get("shipment_lines")
    if not isinstance(lines, list) or not lines or not all(isinstance(line, dict) for line in lines):
        raise RefusedError("Error with field shipment_lines. Please check the field datatype.", field="shipment_lines")
    quantities: dict[str, int] = {}
    packages: dict[str, str] = {}
    for line in lines:
        line_id = string(line, "order_line_id", required=False)
        if line_id is None:
            sku = required_string(line, "offer_sku")
            line_id = next((one.id for one in order.lines if one.product.sku == sku), sku)
        quantities[line_id] = quantities.get(line_id, 0) + whole(line, "quantity")
        package = string(line, "package_reference", required=False)
        if package is not None:
            packages[line_id] = package
    return quantities, packages


def st11(call: Call) -> Reply:
    """ST11: shipments by order, state and update window; seek pages."""
    _need_multi_shipment(call)
    market = call.world.marketplace

    def match() -> list[str]:
        orders, states = call.texts("order_id"), call.texts("shipment_state_code")
        window: tuple[datetime | None, datetime | None] = (
            call.instant("last_updated_from"),
            call.instant("last_updated_to"),
        )
        if orders:
            keys = [key for order_id in sorted(orders) for key in market.shipments_of_order.get(order_id, ())]
        else:
            keys = list(market.shipment_changes.since(window[0]))
        found = [market.shipments[key] for key in keys]
        return [one.id for one in found if within(one.updated_at, *window) and (not states or one.state in states)]

    keys, tokens = call.seek_page(match)
    data = [render_shipment(market.shipments[key], market.orders[market.shipments[key].order_id]) for key in keys]
    return Reply(body=encode({"data": data, **tokens}))


def st24(call: Call) -> Reply:
    """ST24: confirm shipments as shipped; partial success inside 200."""
    _need_multi_shipment(call)
    success, errors = [], []
    for item in call.objects("shipments", SHIPMENTS_MAX):
        key = required_string(item, "id")
        try:
            call.world.marketplace.ship_shipment(key)
        except RefusedError as refused:
            errors.append({"id": key, "message": refused.message})
        else:
            success.append({"id": key})
    return Reply(body=encode({"shipment_success": success, "shipment_errors": errors}))
