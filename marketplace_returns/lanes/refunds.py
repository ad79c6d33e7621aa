"""Promise: every customer is refunded once, for the right amount, only for goods that came back (R3, R4, R48, R53, R59, R60, R66).

Plans one OR28 refund per return unit. The value comes from the marketplace's own order line and nothing else; a unit's
share of the line is fixed by its ordinal, so units may be refunded in any order and the line closes to the penny (I11).
A unit that came back damaged, wrong or not at all is not refunded: it is reported by the closing lane. The refund clock of
a return always runs; where the policy says so, a return that nobody inspected is refunded when it ends (C1).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.money import TaxCharge, to_decimal, unit_amounts
from marketplace_returns.periods import local_day
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "refunds"
RULE = "unit share by cumulative half-even rounding"
REFUNDABLE_STATES = frozenset({"SHIPPING", "SHIPPED", "TO_COLLECT", "RECEIVED"})
"""Order states in which Mirakl takes a refund (apis: OR28 preconditions); CLOSED needs the operator (R102)."""
NOT_DEBITED_STATES = frozenset({"STAGING", "WAITING_ACCEPTANCE", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT"})
"""Order states before the customer paid: such an order is cancelled (OR29, OR30), not refunded (R102)."""
WARNINGS: Final[tuple[tuple[float, Literal["", "medium"]], ...]] = ((0.8, ""), (0.5, "medium"))
"""Parts of the refund deadline after which its owner is told, with how loud (empty: as the catalogue says; R53)."""


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the refund of every unit whose trigger has happened (OR28), and watch every running refund clock."""
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    units = rows(
        con,
        LANE,
        shop=shop.name,
        now=now,
        today=local_day(now, shop.time_zone),
        platform=str(shop.returns.platform),
        trigger=str(shop.policy.refund_trigger),
        deadline_from=str(shop.policy.refund_deadline_from),
        deadline_hours=shop.policy.refund_deadline_hours,
        at_deadline=str(shop.policy.refund_at_deadline),
    )
    is_forbidden = _are_refunds_forbidden(con, shop)
    for unit in units:
        if unit["inspected_at"] is not None and unit["disposition"] is None:
            exceptions.append(_unmapped_disposition(shop, unit))
        elif unit["disposition"] not in (None, "sellable"):
            continue  # not accepted: the closing lane reports it, nothing is refunded (R68)
        elif problem := _held_because(shop, unit, is_forbidden=is_forbidden):
            if not unit["is_refunded"]:
                exceptions.append(problem)
        else:
            intents.append(_refund(shop, unit, mappings.version))
    exceptions += _clocks(con, shop, now)
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=len(units)
    )


def _held_because(shop: Shop, unit: dict[str, Any], *, is_forbidden: bool) -> ExceptionPlan | None:
    """Name what keeps the refund of a unit from being sent, or None."""
    if unit["order_state"] not in REFUNDABLE_STATES:
        return _wrong_state(shop, unit)
    if unit["refund_reason"] is None:
        return _unmapped_reason(shop, unit)
    if is_forbidden or (shop.policy.partial_refunds == "not_allowed" and unit["line_quantity"] > 1):
        return _not_permitted(shop, unit, is_forbidden=is_forbidden)
    return None


def _are_refunds_forbidden(con: DuckDBPyConnection, shop: Shop) -> bool:
    """Tell whether PC01 says that the operator takes no refunds of sellers (direct payment without that right; R50)."""
    found = con.execute(
        "SELECT value FROM lake.core.mirakl__platform WHERE shop = ? AND setting IN (?, ?) ORDER BY setting",
        [
            shop.name,
            "pc01.features.direct_payment_customer_store.activated",
            "pc01.features.direct_payment_customer_store.refund_cancel_authorized",
        ],
    ).fetchall()
    return [str(row[0]).lower() for row in found] == ["true", "false"]


def _refund(shop: Shop, unit: dict[str, Any], mapping_version: str) -> IntentPlan:
    """Make the OR28 body of one unit from the order line alone, with all its inputs as evidence (R3, R4)."""
    currency = unit["currency"]
    product = [TaxCharge(t["code"], t["amount_minor"], t["rule"]) for t in unit["taxes"] if t["kind"] == "product"]
    shipping = [TaxCharge(t["code"], t["amount_minor"], t["rule"]) for t in unit["taxes"] if t["kind"] == "shipping"]
    amounts = unit_amounts(
        price_minor=unit["price_minor"],
        shipping_price_minor=0,
        taxes=product,
        shipping_taxes=(),
        ordinal=unit["ordinal"],
        quantity=unit["line_quantity"],
        include_shipping=False,
    )
    with_shipping = shop.policy.refund_shipping == "full_return" and unit["carries_shipping"]
    shipping_minor = unit["shipping_price_minor"] if with_shipping else 0
    # A tax of the shipping is named even where none of it goes back: the marketplace refuses a missing one (R60).
    shipping_taxes = tuple((tax.code, tax.amount_minor if with_shipping else 0) for tax in shipping)
    refund: dict[str, Any] = {
        "order_line_id": unit["order_line_id"],
        "amount": to_decimal(amounts.amount_minor, currency),
        "shipping_amount": to_decimal(shipping_minor, currency),
        "quantity": 1,
        "reason_code": unit["refund_reason"],
        "currency_iso_code": currency,
    }
    # G4: a tax under rule NONE is refunded only where it is sent; the others Mirakl computes itself (C12).
    send_all = shop.policy.send_proportional_taxes
    if sent := _taxes_to_send(product, amounts.taxes, currency, send_all=send_all):
        refund["taxes"] = sent
    if sent := _taxes_to_send(shipping, shipping_taxes, currency, send_all=send_all):
        refund["shipping_taxes"] = sent
    on_top = unit["order_tax_mode"] == "TAX_EXCLUDED"
    taxes_minor = sum(minor for _, minor in (*amounts.taxes, *shipping_taxes)) if on_top else 0
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.REFUND,
        natural_key=unit["return_unit_id"],
        order_id=unit["order_id"],
        order_line_id=unit["order_line_id"],
        return_id=unit["return_id"],
        return_unit_id=unit["return_unit_id"],
        amount_minor=amounts.amount_minor + shipping_minor + taxes_minor,
        currency=currency,
        body={"order_tax_mode": unit["order_tax_mode"], "refunds": [refund]},
        evidence={
            "rule": RULE,
            "rounding": "half-even",
            "ordinal": unit["ordinal"],
            "line_quantity": unit["line_quantity"],
            "line_price_minor": unit["price_minor"],
            "line_shipping_price_minor": unit["shipping_price_minor"],
            "line_taxes": unit["taxes"],
            "taxes_minor": [list(tax) for tax in amounts.taxes],
            "shipping_taxes_minor": [list(tax) for tax in shipping_taxes],
            "order_payload": unit["order_payload_hash"],
            "receipt_event_id": unit["receipt_event_id"] or "",
            "receipt_payload": unit["receipt_payload_hash"] or "",
            "received_item_code": unit["received_item_code"] or "",
            "disposition": unit["disposition"] or "",
            "evidence_class": unit["evidence_class"],
            "trigger": str(shop.policy.refund_trigger),
            "trigger_at": unit["trigger_at"].isoformat(),
            "reason_code": unit["reason_code"] or "",
            "mapping_version": mapping_version,
        },
    )


def _taxes_to_send(
    taxes: list[TaxCharge], shares: tuple[tuple[str, int], ...], currency: str, *, send_all: bool
) -> list[dict[str, Any]]:
    rules = {tax.code: tax.calculation_rule for tax in taxes}
    return [
        {"code": code, "amount": to_decimal(minor, currency)}
        for code, minor in shares
        if send_all or rules[code] != "PROPORTIONAL_TO_AMOUNT"
    ]


def _clocks(con: DuckDBPyConnection, shop: Shop, now: datetime) -> list[ExceptionPlan]:
    """Warn of refunds near or past the marketplace's deadline, whatever holds them (C1, R53)."""
    found: list[ExceptionPlan] = []
    allowed = timedelta(hours=shop.policy.refund_deadline_hours)
    clocks = rows(con, "refund_clock", shop=shop.name, deadline_from=str(shop.policy.refund_deadline_from))
    for clock in clocks:
        due_at = clock["clock_from"] + allowed
        overdue = now >= due_at
        passed = [severity for part, severity in WARNINGS if now >= clock["clock_from"] + allowed * part]
        if not passed:
            continue
        waiting = "not inspected yet" if clock["uninspected_units"] else "inspected"
        found.append(
            ExceptionPlan(
                shop=shop.name,
                type="REFUND_OVERDUE" if overdue else "REFUND_DUE_SOON",
                entity={"order_id": clock["order_id"], "return_id": clock["return_id"]},
                cause="deadline",  # not how much of it is used: that would be another exception at each step, and the first a false end
                message=f"Return {clock['return_id']} must be refunded by {due_at:%Y-%m-%d %H:%M} UTC "
                f"({shop.policy.refund_deadline_hours} h after {shop.policy.refund_deadline_from}); it is {waiting}.",
                amount_minor=clock["value_minor"],
                currency=clock["currency"],
                due_at=due_at,
                severity="" if overdue else passed[0],
            )
        )
    return found


def _exception(
    shop: Shop, exception_type: str, unit: dict[str, Any], *, cause: str, message: str, root_cause: str
) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type=exception_type,
        entity={
            "order_id": unit["order_id"],
            "return_id": unit["return_id"],
            "return_unit_id": unit["return_unit_id"],
        },
        cause=cause,
        message=message,
        amount_minor=unit["price_minor"] // max(unit["line_quantity"], 1),
        currency=unit["currency"],
        due_at=unit["deadline_at"] or unit["trigger_at"] + timedelta(hours=shop.policy.refund_deadline_hours),
        root_cause=root_cause,
    )


def _unmapped_disposition(shop: Shop, unit: dict[str, Any]) -> ExceptionPlan:
    return _exception(
        shop,
        "REASON_UNMAPPED",
        unit,
        cause=f"disposition {unit['receipt_source_code']}",
        message=f"Unit {unit['return_unit_id']} was inspected as {unit['receipt_source_code']!r}, which dispositions.csv does not "
        f"name for {unit['receipt_source']}. Add a row; nothing is refunded or restocked until then.",
        root_cause="mapping",
    )


def _unmapped_reason(shop: Shop, unit: dict[str, Any]) -> ExceptionPlan:
    row, reason = "mirakl, flow refund, target_vocabulary mirakl_refund", unit["reason_code"]
    if reason is None:
        row = f"{shop.returns.platform}, flow report_return, target_vocabulary mirakl_return"
        reason = unit["platform_reason"]
    return _exception(
        shop,
        "REASON_UNMAPPED",
        unit,
        cause=f"refund {reason}",
        message=f"Unit {unit['return_unit_id']}: return reason {reason} has no row in reasons.csv (source_system {row}). Add it; the "
        "refund is sent at the next pass.",
        root_cause="mapping",
    )


def _wrong_state(shop: Shop, unit: dict[str, Any]) -> ExceptionPlan:
    state, order_id = unit["order_state"], unit["order_id"]
    if state in NOT_DEBITED_STATES:
        what = (
            f"order {order_id} is {state}: the customer has not paid yet, so there is nothing to refund. Cancel the line in the "
            "marketplace's back office (OR30), which is possible until the debit."
        )
    else:
        what = (
            f"order {order_id} is {state}: the marketplace takes no refund by API in that state. Open a ticket with the "
            "operator."
        )
    return _exception(
        shop,
        "REFUND_REJECTED_STATE",
        unit,
        cause=str(state),
        message=f"Unit {unit['return_unit_id']} is to be refunded but {what}",
        root_cause="validation",
    )


def _not_permitted(shop: Shop, unit: dict[str, Any], *, is_forbidden: bool) -> ExceptionPlan:
    unit_id = unit["return_unit_id"]
    what = (
        "the platform's configuration (PC01) gives sellers no right to refund"
        if is_forbidden
        else f"it is one of {unit['line_quantity']} units of its line and the operator takes no partial refunds (policy "
        "partial_refunds)"
    )
    return _exception(
        shop,
        "REFUND_REJECTED_PERMISSION",
        unit,
        cause="no refunds" if is_forbidden else "no partial refunds",
        message=f"Unit {unit_id} is to be refunded and nothing is sent: {what}. Ask the operator for the permission, or to "
        "refund it; then the next pass goes on by itself.",
        root_cause="permission",
    )
