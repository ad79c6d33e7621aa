"""The marketplace's accounting operations over HTTP: TL02..TL05, SBC11, IV01.

Here: filters, pages and field names. Not here: what is booked (accounting.py). Invariant: every amount shown is the booked one.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace_returns.sandbox.accounting import Cycle, Invoice, LedgerLine
from marketplace_returns.sandbox.mirakl_call import Call, Reply, encode, parse_instant, within
from marketplace_returns.sandbox.mirakl_exports import fetch_export, poll_export, start_export
from marketplace_returns.sandbox.mirakl_render import STREETS
from marketplace_returns.sandbox.money import to_decimal
from marketplace_returns.sandbox.world import World

PSP = "OPERATOR"
TRANSACTIONS_PAGE_MAX = 2000
CYCLES_PAGE_MAX = 1000


def tl02(call: Call) -> Reply:
    """TL02: transaction-log lines; seek pages of at most 2000, newest creation first unless sorted by lastUpdated."""
    keys, tokens = call.seek_page(lambda: _matching_lines(call), TRANSACTIONS_PAGE_MAX)
    lines = call.world.accounting.lines
    data = [render_ledger_line(lines[key], call.world) for key in keys if key in lines]
    return Reply(body=encode({"data": data, **tokens}))


def _matching_lines(call: Call) -> list[str]:
    books = call.world.accounting
    created = (call.instant("date_created_from"), call.instant("date_created_to"))
    paid = (call.instant("transaction_date_from"), call.instant("transaction_date_to"))
    updated_from = call.instant("last_updated_from")
    wanted: dict[str, set[str]] = {
        "state": call.texts("payment_state"),
        "type": call.texts("transaction_type"),
        "order_id": call.texts("order_id"),
        "line_id": call.texts("order_line_id"),
        "cycle_id": call.texts("seller_billing_cycle_id"),
        "document_id": call.texts("accounting_document_id"),
        "document_number": call.texts("accounting_document_number"),
    }
    wanted = {name: values for name, values in wanted.items() if values}
    if "cycle_id" in wanted:
        keys = [key for cycle in wanted["cycle_id"] for key in books.lines_of_cycle.get(cycle, ())]
    elif "line_id" in wanted:
        keys = [key for line in wanted["line_id"] for key in books.lines_of_order_line.get(line, ())]
    else:
        # a line is never created after its last update, so a creation bound narrows the search just as well
        keys = list(books.changes.since(updated_from or created[0]))

    def matches(line: LedgerLine) -> bool:
        if any(getattr(line, name) not in values for name, values in wanted.items()):
            return False
        if updated_from is not None and line.updated_at < updated_from:
            return False
        if not within(line.created_at, *created):
            return False
        if paid == (None, None):
            return True
        return line.transaction_at is not None and within(line.transaction_at, *paid)

    found = [books.lines[key] for key in keys if key in books.lines and matches(books.lines[key])]
    sort = (call.text("sort") or "dateCreated,DESC").split(",")
    descending = sort[-1].upper() == "DESC"
    if sort[0] == "lastUpdated":
        found.sort(key=lambda line: (line.updated_at, line.id), reverse=descending)
    else:
        found.sort(key=lambda line: (line.created_at, line.id), reverse=descending)
    return [line.id for line in found]


def render_ledger_line(line: LedgerLine, world: World) -> dict[str, Any]:
    """A transaction-log line as TL02 and TL05 show it."""
    currency = world.config.currency
    entities: dict[str, Any] = {"domain": "PRODUCT"}
    if line.order_id is not None:
        order = world.marketplace.orders[line.order_id]
        entities["order"] = {
            "commercial_id": order.commercial_id,
            "creation_date": order.created_at,
            "id": order.id,
            "payment_info": {"payment_type": "CARD"},
            "references": {"order_reference_for_customer": order.commercial_id},
        }
        entities["order_line"] = {"id": line.line_id}
    if line.refund_id is not None:
        entities["refund"] = {"id": line.refund_id}
    if line.tax_code is not None:
        kind = "order_tax" if line.type.endswith("AMOUNT_TAX") else "shop_tax"
        rate = Decimal(world.config.vat_rate_percent)
        entities[kind] = {"code": line.tax_code, "rate": rate / 100 if kind == "order_tax" else rate}
    if line.manual_document is not None:
        entities["manual_accounting_document"] = {"number": line.manual_document}
    if line.transaction_number is not None:
        entities["transaction_info"] = {"date": line.transaction_at, "number": line.transaction_number}
    amount = to_decimal(line.amount_minor, currency)
    return {
        "accounting_document_creation_date": line.document_at,
        "accounting_document_id": line.document_id,
        "accounting_document_number": line.document_number,
        "amount": amount,
        "amount_credited": max(amount, Decimal(0)),
        "amount_debited": max(-amount, Decimal(0)),
        "balance": to_decimal(line.balance_minor, currency),
        "currency_iso_code": currency,
        "date_created": line.created_at,
        "entities": entities,
        "id": line.id,
        "last_updated": line.updated_at,
        "pay_out_psp_code": PSP,
        "payment_state": line.state,
        "seller_billing_cycle_id": line.cycle_id,
        "type": line.type,
    }


def tl03(call: Call) -> Reply:
    """TL03: start an asynchronous export of transaction-log lines as JSON or NDJSON."""
    body = call.json() if call.body else {}
    call.query = {
        name: [str(part) for part in value] if isinstance(value, list) else [str(value)]
        for name, value in body.items()
        if value is not None and name not in {"format", "items_per_chunk", "megabytes_per_chunk", "shop_id"}
    }
    for name in ("date_created_from", "date_created_to", "last_updated_from"):
        if name in call.query:
            parse_instant(call.query[name][0], name)
    lines = call.world.accounting.lines
    rendered = [render_ledger_line(lines[key], call.world) for key in _matching_lines(call)]
    size = int(body.get("items_per_chunk") or 50_000)
    as_lines = body.get("format") == "NDJSON"
    chunks = [rendered[first : first + size] for first in range(0, max(1, len(rendered)), size)]
    files = [b"".join(encode(one) + b"\n" for one in chunk) if as_lines else encode(chunk) for chunk in chunks]
    return start_export(call, "transactions", files, "application/x-ndjson" if as_lines else "application/json")


def tl04(call: Call) -> Reply:
    """TL04: poll a transaction-log export."""
    return poll_export(call, "transactions")


def tl05(call: Call) -> Reply:
    """TL05: one file of a transaction-log export."""
    return fetch_export(call, "transactions")


def sbc11(call: Call) -> Reply:
    """SBC11: billing cycles by id, state and creation window (both ends inclusive); seek pages."""
    books = call.world.accounting

    def match() -> list[str]:
        ids, states = call.texts("id"), call.texts("pay_out_state")
        currencies = call.texts("currency")
        window: tuple[datetime | None, datetime | None] = (call.instant("start_date"), call.instant("end_date"))
        if currencies and call.world.config.currency not in currencies:
            return []
        return [
            cycle.id
            for cycle in books.cycles.values()
            if (not ids or cycle.id in ids)
            and (not states or cycle.state in states)
            and within(cycle.created_at, *window)
        ]

    keys, tokens = call.seek_page(match, CYCLES_PAGE_MAX)
    return Reply(body=encode({"data": [_cycle(books.cycles[key], call.world) for key in keys], **tokens}))


def _shop(world: World) -> dict[str, Any]:
    return {
        "shop_corporate_name": "Sandbox Brand Ltd",
        "shop_id": world.config.shop_id,
        "shop_model": "MARKETPLACE",
        "shop_name": "Sandbox Brand",
        "shop_operator_internal_id": None,
    }


def _cycle(cycle: Cycle, world: World) -> dict[str, Any]:
    currency = world.config.currency
    return {
        "amount_transferred_to_operator": to_decimal(0, currency),
        "amount_transferred_to_seller": to_decimal(cycle.amount_minor, currency),
        "currency_iso_code": currency,
        "date_created": cycle.created_at,
        "id": cycle.id,
        "pay_out": {
            "failure_reason": None,
            "reference": cycle.reference,
            "state": cycle.state,
            "transaction_date": cycle.paid_at,
        },
        "pay_out_psp_code": PSP,
        "payment_voucher_number": cycle.voucher,
        "shop": _shop(world),
        "summary": {name: to_decimal(value, currency) for name, value in cycle.summary.items()},
    }


def iv01(call: Call) -> Reply:
    """IV01: accounting documents, AUTO_INVOICE only unless a type is asked for; offset pages."""
    books = call.world.accounting
    by_id = {invoice.id: invoice for invoice in books.invoices}

    def match() -> list[str]:
        kind = call.text("type") or "AUTO_INVOICE"
        cycles, states, numbers = (
            call.texts("seller_billing_cycle_id"),
            call.texts("payment_status"),
            call.texts("invoice_id"),
        )
        window = (call.instant("start_date"), call.instant("end_date"))
        return [
            one.id
            for one in books.invoices
            if kind in {"ALL", one.type}
            and (not cycles or one.cycle_id in cycles)
            and (not states or one.payment_state in states)
            and (not numbers or str(one.invoice_id) in numbers)
            and within(one.created_at, *window)
        ]

    keys, total, headers = call.offset_page(match)
    body = {"invoices": [_invoice(by_id[key], call.world) for key in keys], "total_count": total}
    return Reply(body=encode(body), headers=headers)


def _invoice(invoice: Invoice, world: World) -> dict[str, Any]:
    currency = world.config.currency
    net = sum(detail.excl_minor for detail in invoice.details)
    tax = sum(detail.tax_minor for detail in invoice.details)
    shop = _shop(world)
    shown: dict[str, Any] = {
        "currency_iso_code": currency,
        "date_created": invoice.created_at,
        "details": [
            {
                "amount_excl_taxes": to_decimal(detail.excl_minor, currency),
                "description": detail.description,
                "quantity": detail.quantity,
                "taxes": [{"amount": to_decimal(detail.tax_minor, currency), "code": "VAT20"}],
            }
            for detail in invoice.details
        ],
        "due_date": invoice.created_at,
        "id": invoice.id,
        "invoice_id": invoice.invoice_id,
        "issue_date": invoice.created_at,
        "issuing_user": {"type": "OPERATOR"},
        "pay_out_psp_code": PSP,
        "payment": {
            "reference": invoice.payment_reference,
            "state": invoice.payment_state,
            "transaction_date": invoice.paid_at,
        },
        "shop_address": {
            "city": "London",
            "country": "GBR",
            "firstname": "Sandbox",
            "lastname": "Brand",
            "street1": f"1 {STREETS[0]}",
            "zip_code": "ZZ1 1AA",
        },
        **shop,
        "state": "COMPLETE",
        "total_amount_excl_taxes": to_decimal(net, currency),
        "total_amount_incl_taxes": to_decimal(net + tax, currency),
        "total_charged_amount": to_decimal(net + tax, currency),
        "total_taxes": [{"amount": to_decimal(tax, currency), "code": "VAT20"}],
        "type": invoice.type,
    }
    if invoice.cycle_id is not None:
        cycle = world.accounting.cycles[invoice.cycle_id]
        summary = {name: to_decimal(value, currency) for name, value in cycle.summary.items()}
        shown |= {
            "start_time": invoice.start_at,
            "end_time": invoice.created_at,
            "seller_billing_cycle_id": invoice.cycle_id,
            "summary": {
                "amount_transferred": to_decimal(cycle.amount_minor, currency),
                "amount_transferred_to_operator": to_decimal(0, currency),
                "reserve_funding": to_decimal(0, currency),
                "reserve_settlement": to_decimal(0, currency),
                **summary,
            },
        }
    return shown
