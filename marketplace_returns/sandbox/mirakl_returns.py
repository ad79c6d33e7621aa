"""The marketplace's return operations over HTTP: RT01, RT04, RT11, RT12, RT21, RT25, RT26, RT27, RT29.

Here: requests in, answers out. Not here: state rules (customer_returns.py). Invariant: writes answer 200 with return_success and
return_errors; one bad item never stops the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from marketplace_returns.sandbox.catalogue import RETURN_METHODS, RETURN_REASONS
from marketplace_returns.sandbox.customer_returns import Compliance
from marketplace_returns.sandbox.entities import MarketplaceReturn
from marketplace_returns.sandbox.mirakl_call import Call, Reply, encode, multi, required_string, string, whole, within
from marketplace_returns.sandbox.mirakl_orders import read_tracking
from marketplace_returns.sandbox.mirakl_render import render_return
from marketplace_returns.sandbox.refusals import RefusedError
from marketplace_returns.sandbox.world import World

RETURNS_MAX = 100
CREATED_MAX = 200
RMA_FORM = re.compile(r"[0-9a-zA-Z_-]{1,100}")
RETURN_WINDOW_DAYS = 28


def rt01(call: Call) -> Reply:
    """RT01: create returns; partial success inside 200."""
    world = call.world
    success: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for item in call.objects("returns", CREATED_MAX):
        commercial_id = required_string(item, "order_commercial_id")
        try:
            made = _create(world, commercial_id, item)
        except RefusedError as refused:
            errors.append({"order_commercial_id": commercial_id, "message": refused.message})
        else:
            success.append(render_return(made))
    return Reply(body=encode({"return_success": success, "return_errors": errors}))


def _create(world: World, commercial_id: str, item: dict[str, Any]) -> MarketplaceReturn:
    order = world.marketplace.orders.get(f"{commercial_id}-A")
    if order is None:
        raise RefusedError(f"The order with commercial id '{commercial_id}' does not exist")
    method = required_string(item, "method_code")
    if method not in RETURN_METHODS:
        raise RefusedError(f"The return method '{method}' does not exist")
    rma = _rma(item)
    made = world.returns.open(order, _parts(item), method, accepted=item.get("accepted") is True)
    made.rma, made.label_url = rma, string(item, "label_url", required=False)
    made.description = string(item, "description", required=False)
    return made


def _parts(item: dict[str, Any]) -> list[tuple[str, int, str]]:
    lines = item.get("return_lines")
    if not isinstance(lines, list) or not lines or not all(isinstance(line, dict) for line in lines):
        raise RefusedError("Error with field return_lines. Please check the field datatype.")
    parts = []
    for line in lines:
        reason = required_string(line, "reason_code")
        if reason not in RETURN_REASONS:
            raise RefusedError(f"The return reason '{reason}' does not exist")
        parts.append((required_string(line, "order_line_id"), whole(line, "quantity"), reason))
    return parts


def _rma(item: dict[str, Any]) -> str | None:
    rma = string(item, "rma", required=False)
    if rma is not None and not RMA_FORM.fullmatch(rma):
        raise RefusedError("The rma may hold up to 100 letters, digits, '_' and '-'")
    return rma


def _each(call: Call, action: Callable[[dict[str, Any], str], None]) -> Reply:
    outcomes: list[tuple[str, str | None]] = []
    for item in call.objects("returns", RETURNS_MAX):
        key = required_string(item, "id")
        try:
            action(item, key)
        except RefusedError as refused:
            outcomes.append((key, refused.message))
        else:
            outcomes.append((key, None))
    return Reply(body=encode(multi(outcomes)))


def rt04(call: Call) -> Reply:
    """RT04: set rma, label, tracking, address of returns."""
    returns = call.world.returns
    success: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for item in call.objects("returns", RETURNS_MAX):
        key = required_string(item, "id")
        try:
            values: dict[str, str] = {}
            if (rma := _rma(item)) is not None:
                values["rma"] = rma
            if (label := string(item, "label_url", required=False)) is not None:
                values["label_url"] = label
            if isinstance(item.get("tracking"), dict):
                found = call.world.marketplace.check_tracking(read_tracking(item["tracking"]), number_needed=False)
                names = ("carrier_code", "carrier_name", "carrier_standard_code", "tracking_number", "tracking_url")
                values |= {name: value for name in names if (value := getattr(found, name)) is not None}
            address = (item.get("return_address") or {}).get("address")
            returns.patch(key, values, address)
        except RefusedError as refused:
            errors.append({"id": key, "message": refused.message})
        else:
            success.append(render_return(returns.returns[key]))
    return Reply(body=encode({"return_success": success, "return_errors": errors}))


def rt11(call: Call) -> Reply:
    """RT11: returns by id, state, order, rma, creation and update window; seek pages, newest creation last."""
    returns = call.world.returns

    def match() -> list[str]:
        ids, states = call.texts("return_id"), call.texts("return_state")
        orders, lines = call.texts("order_commercial_id"), call.texts("order_line_id")
        rmas = call.texts("return_rma")
        created = (call.instant("return_creation_date_from"), call.instant("return_creation_date_to"))
        updated = (call.instant("return_last_updated_from"), call.instant("return_last_updated_to"))
        if ids:
            candidates = [returns.returns[key] for key in ids if key in returns.returns]
        else:
            candidates = [returns.returns[key] for key in returns.changes.since(updated[0])]
        found = [
            one
            for one in candidates
            if (not states or one.state in states)
            and (not orders or one.order_commercial_id in orders)
            and (not rmas or one.rma in rmas)
            and (not lines or any(line.order_line_id in lines for line in one.lines))
            and within(one.created_at, *created)
            and within(one.updated_at, *updated)
        ]
        descending = (call.text("sort") or "").endswith(",DESC")
        found.sort(key=lambda one: (one.created_at, one.id), reverse=descending)
        return [one.id for one in found]

    keys, tokens = call.seek_page(match)
    return Reply(body=encode({"data": [render_return(returns.returns[key]) for key in keys], **tokens}))


def rt12(call: Call) -> Reply:
    """RT12: what can still be returned of the given orders or lines; seek pages."""
    market, returns = call.world.marketplace, call.world.returns

    def match() -> list[str]:
        line_ids = sorted(call.texts("order_line_id"))
        for commercial_id in sorted(call.texts("order_commercial_id")):
            order = market.orders.get(f"{commercial_id}-A")
            line_ids += [line.id for line in order.lines] if order else []
        if not line_ids:
            raise RefusedError("The parameter order_commercial_id or order_line_id is required")
        return [key for key in line_ids if key in market.order_of_line]

    keys, tokens = call.seek_page(match)
    data = []
    for key in keys:
        order, line = market.find_line(key)
        data.append(
            {
                "available_return_methods": list(RETURN_METHODS[:2]),
                "available_return_reasons": list(RETURN_REASONS),
                "order_commercial_id": order.commercial_id,
                "order_line_id": line.id,
                "return_window": RETURN_WINDOW_DAYS,
                "returnable_quantity": returns.returnable(order, line.id),
            }
        )
    return Reply(body=encode({"data": data, **tokens}))


def rt21(call: Call) -> Reply:
    """RT21: accept or refuse returns."""

    def decide(item: dict[str, Any], key: str) -> None:
        if not isinstance(item.get("accepted"), bool):
            raise RefusedError("The field accepted is required")
        reason = string(item, "rejection_reason_code", required=False)
        call.world.returns.decide(key, accepted=item["accepted"], rejection_reason=reason)

    return _each(call, decide)


def rt25(call: Call) -> Reply:
    """RT25: say that returns were received."""
    return _each(call, lambda _, key: call.world.returns.receive(key))


def rt26(call: Call) -> Reply:
    """RT26: say which lines of a return are compliant."""

    def comply(item: dict[str, Any], key: str) -> None:
        lines = item.get("return_lines")
        if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
            raise RefusedError("Error with field return_lines. Please check the field datatype.")
        words = [
            Compliance(
                required_string(line, "order_line_id"),
                line.get("compliant") is True,
                string(line, "non_compliance_reason_code", required=False),
                string(line, "non_compliance_additional_info", required=False),
            )
            for line in lines
        ]
        call.world.returns.set_compliance(key, words)

    return _each(call, comply)


def rt27(call: Call) -> Reply:
    """RT27: close returns."""
    return _each(call, lambda _, key: call.world.returns.close(key))


def rt29(call: Call) -> Reply:
    """RT29: cancel returns."""
    return _each(call, lambda _, key: call.world.returns.cancel(key))
