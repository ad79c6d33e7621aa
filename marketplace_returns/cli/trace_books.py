"""``trace`` of a number of the books, as pages: a log line, a payout cycle, a document, a journal, VAT, the control account, and landed payloads.

Here: words and tables over what the desk found. Not here: finding it (``desk.drilled``), the document for programs (``trace``). The
invariant: an amount stands beside what it adds up.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from marketplace_returns.cli.output import amount, moment, table
from marketplace_returns.reconciliation.drill_down import ControlAccount, Cycle, Document, Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from marketplace_returns.desk.drilled import Drilled, NamedLine
    from marketplace_returns.reconciliation.drill_down import AddedUp, Payload, Thing, Vat, VatReturn


def kinds(drilled: Drilled) -> set[str]:
    """Return what a number is in the books, in words."""
    words = {"transaction" for _ in drilled.log_lines}
    for thing in drilled.things:
        words.add(
            "payout cycle"
            if isinstance(thing, Cycle)
            else "document"
            if isinstance(thing, Document)
            else "journal"
            if isinstance(thing, Journal)
            else "control account of a month"
            if isinstance(thing, ControlAccount)
            else "VAT of a month"
        )
    return words


def render(page: Console, drilled: Drilled) -> None:
    """Draw all that was found."""
    for named in drilled.log_lines:
        _render_line(page, named)
    for thing in drilled.things:
        _render_thing(page, thing)


def render_payloads(page: Console, payloads: Sequence[Payload]) -> None:
    """Draw landed payloads as they came; personal fields are not in them."""
    for each in payloads:
        page.print(
            f"\n{each.source} {each.object_type} {each.object_id}, fetched {moment(each.fetched_at)}", style="bold"
        )
        page.print(each.content_hash)
        page.print(msgspec.json.format(each.body, indent=2))


def _render_thing(page: Console, thing: Thing) -> None:
    if isinstance(thing, Cycle):
        _render_cycle(page, thing)
    elif isinstance(thing, Document):
        _render_document(page, thing)
    elif isinstance(thing, Journal):
        _render_journal(page, thing)
    elif isinstance(thing, ControlAccount):
        _render_control(page, thing)
    else:
        _render_vat_return(page, thing)


def _facts(page: Console, facts: Sequence[tuple[str, object]]) -> None:
    for name, value in facts:
        if value not in (None, ""):
            page.print(f"{name}: {moment(value) if isinstance(value, datetime) else value}")


def _render_line(page: Console, named: NamedLine) -> None:
    line = named.line
    page.print(f"\n{line.shop} transaction {line.transaction_id}", style="bold")
    _facts(
        page,
        (
            ("type", f"{line.transaction_type} (component {line.component}, account {line.account})"),
            ("amount", amount(line.amount_minor, line.currency)),
            ("state", line.payment_state),
            ("created", line.created_at),
            ("changed", line.updated_at),
            ("order", line.order_id),
            ("order line", line.order_line_id),
            ("refund", line.refund_id),
            ("tax code", line.tax_code),
            ("payout cycle", line.billing_cycle_id),
            ("document", line.accounting_document_id),
            ("document number", line.accounting_document_number),
            ("payload", line.payload_hash),
        ),
    )
    if named.named_by:
        page.print("\nNamed by", style="bold")
    for each in named.named_by:
        page.print(f"{each.month} {each.table} {each.reference}: {each.words}")


def _render_cycle(page: Console, cycle: Cycle) -> None:
    page.print(f"\n{cycle.shop} payout cycle {cycle.billing_cycle_id}", style="bold")
    _facts(
        page,
        (
            ("state", cycle.pay_out_state),
            ("closed", cycle.created_at),
            ("statement", amount(cycle.statement_amount_minor, cycle.currency) or "none was read"),
            ("to the operator", amount(cycle.operator_amount_minor, cycle.currency)),
            ("transaction log", amount(cycle.log_amount_minor, cycle.currency)),
            ("payment", amount(cycle.payment_amount_minor, cycle.currency) or "not on the log"),
            ("invoice", amount(cycle.invoice_amount_minor, cycle.currency) or "none was read"),
            ("paid", cycle.pay_out_at),
            ("bank reference", cycle.pay_out_reference),
            ("failed because", cycle.failure_reason),
            ("documents", ", ".join(each.document_id for each in cycle.documents)),
            ("payload", cycle.payload_hash),
        ),
    )
    _render_added_up(page, cycle.added_up)


def _render_document(page: Console, document: Document) -> None:
    page.print(f"\n{document.shop} document {document.document_id}", style="bold")
    _facts(
        page,
        (
            ("type", document.invoice_type),
            ("state", document.invoice_state),
            ("number", document.invoice_id),
            ("created", document.created_at),
            ("issued", document.issued_at),
            ("payout cycle", document.billing_cycle_id),
            ("payout stated", amount(document.amount_transferred_minor, document.currency)),
            ("without taxes", amount(document.total_excl_minor, document.currency)),
            ("with taxes", amount(document.total_incl_minor, document.currency)),
            ("payment", document.payment_state),
            ("bank reference", document.payment_reference),
            ("payload", document.payload_hash),
        ),
    )
    _render_added_up(page, document.added_up)


def _render_journal(page: Console, journal: Journal) -> None:
    page.print(f"\n{journal.shop} journal {journal.journal_id}", style="bold")
    page.print(
        table(
            f"Lines ({journal.currency})",
            ("line", "account", "what", "debit", "credit"),
            [
                (
                    each.line_no,
                    each.account,
                    each.description,
                    amount(each.debit_minor or None, journal.currency),
                    amount(each.credit_minor or None, journal.currency),
                )
                for each in journal.lines
            ],
            right=("line", "debit", "credit"),
            wrap=("account", "what"),
        )
    )
    if journal.vat:
        _render_vat(
            page, "It takes out the VAT inside prices, of which the log has no lines (vat_summary)", journal.vat
        )
        return
    for each in journal.lines:
        page.print(f"\nLine {each.line_no}, {each.description}", style="bold")
        if each.difference_minor:
            page.print(
                f"{amount(each.difference_minor, journal.currency)} more than the log and the mapping say now: either changed since the month "
                "was closed."
            )
        _render_added_up(page, each.added_up)


def _render_control(page: Console, found: ControlAccount) -> None:
    page.print(f"\n{found.shop} control account of {found.month}", style="bold")
    page.print(
        table(
            "control_roll_forward",
            ("component", "amount"),
            [(each.component, amount(each.amount_minor, each.currency)) for each in found.rows],
            right=("amount",),
        )
    )
    for each in found.rows:
        page.print(f"\n{each.reference}", style="bold")
        if each.difference_minor:
            page.print(
                f"{amount(each.difference_minor, each.currency)} more than the log and the mapping say now: either changed since the month was closed."
            )
        _render_added_up(page, each.added_up)


def _render_vat_return(page: Console, found: VatReturn) -> None:
    page.print(f"\n{found.shop} VAT of {found.month}", style="bold")
    _render_vat(page, "vat_summary", found.vat)


def _render_vat(page: Console, title: str, rows: Sequence[Vat]) -> None:
    page.print(
        table(
            title,
            ("direction", "tax code", "rate", "net", "tax"),
            [
                (
                    each.direction,
                    each.tax_code,
                    "" if each.rate is None else f"{each.rate.normalize():f}",
                    amount(each.net_minor, each.currency),
                    amount(each.amount_minor, each.currency),
                )
                for each in rows
            ],
            right=("rate", "net", "tax"),
            wrap=("direction",),
        )
    )
    for each in rows:
        page.print(f"\n{each.reference}", style="bold")
        made_of = "order lines and refunds say" if each.is_of_documents else "lines of the log and the mapping say"
        for what, minor in (("tax", each.difference_minor), ("net", each.net_difference_minor)):
            if minor:
                page.print(
                    f"{amount(minor, each.currency)} more {what} than its {made_of} now: they changed since the month was closed."
                )
        if each.is_of_documents:
            _render_documents(page, each)
            continue
        for what, lines in (("net", each.net_lines), ("tax", each.tax_lines)):
            if lines.sums:
                page.print(f"\nIts {what}, as on the log (- is charged)", style="bold")
                _render_added_up(page, lines)


def _render_documents(page: Console, row: Vat) -> None:
    shown = [
        (each.document_id, each.net_minor, each.tax_minor - (each.logged_tax_minor if row.is_inside else 0))
        for each in row.largest
    ]
    lines = [(name, amount(net, row.currency), amount(tax, row.currency)) for name, net, tax in shown]
    if left := row.documents - len(shown):
        others = (
            row.documents_net_minor - sum(net for _, net, _ in shown),
            row.documents_amount_minor - sum(tax for _, _, tax in shown),
        )
        lines.append((f"{left:,} more", amount(others[0], row.currency), amount(others[1], row.currency)))
    net, tax = row.documents_net_minor, row.documents_amount_minor
    lines.append((f"all {row.documents:,}", amount(net, row.currency), amount(tax, row.currency)))
    page.print(table("Adds up", ("order line or refund", "net", "tax"), lines, right=("net", "tax")))


def _render_added_up(page: Console, added_up: AddedUp) -> None:
    if not added_up.sums:
        page.print("No line of the transaction log that counts names it.")
        return
    page.print(
        table(
            "Adds up",
            ("component", "type", "lines", "amount"),
            [
                (each.component, each.transaction_type, each.lines, amount(each.amount_minor, each.currency))
                for each in added_up.sums
            ],
            right=("lines", "amount"),
            wrap=("component", "type"),
        )
    )
    page.print(
        table(
            "Largest lines",
            ("transaction", "type", "amount"),
            [
                (each.transaction_id, each.transaction_type, amount(each.amount_minor, each.currency))
                for each in added_up.largest
            ],
            right=("amount",),
            wrap=("transaction", "type"),
        )
    )
