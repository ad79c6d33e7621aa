"""``trace``: the whole life of one thing by any of its numbers, and where it stands; of a number of the books, what it adds up."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from marketplace_returns.cli import trace_books
from marketplace_returns.cli.context import opened
from marketplace_returns.cli.output import Output, amount, moment, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.desk import drilled
from marketplace_returns.desk.drilled import Drilled
from marketplace_returns.desk.lookup import LookUp, OrderView, look_up
from marketplace_returns.desk.order_status import Status
from marketplace_returns.errors import BadArgument
from marketplace_returns.reconciliation.drill_down import ControlAccount, Cycle, Document, Journal, Payload, VatReturn
from marketplace_returns.reconciliation.trace import Event


def trace(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Order, seller's, line, return, RMA, refund, tracking or warehouse order number, or what a month-end table names: "
            "a log line (log:<id>), a cancelation, a write of ours, a payout cycle, a document, a journal, VAT or the control account of a month "
            "(vat:<shop>-<month>, control:<shop>-<month>), a reference.",
        ),
    ],
    with_payloads: Annotated[
        bool,
        typer.Option(
            "--payloads", help="Also every landed payload that says so, as it came; it holds no personal fields."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Show where an order stands and its whole life, or what a number of the books adds up, by any number that belongs to it."""
    output = Output(as_json=as_json)
    with opened() as app:
        desk = app.desk()
        found = look_up(desk, reference, app.clock.now())
        books = drilled.drill(desk, found)
        landed = drilled.payloads(desk, found, books) if with_payloads else None
    if not found.orders and not books.log_lines and not books.things:
        raise BadArgument(
            f"{reference!r} is no order, line, return, RMA, refund, tracking or warehouse order number, nor a log line, payout cycle, document, "
            "journal, VAT or control account, that was read so far; 'sync' reads what is new"
        )
    output.show(_document(found, books, landed), lambda page: _render(page, found, books, landed or []))
    return 0


def _document(found: LookUp, books: Drilled, landed: list[Payload] | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "reference": found.reference,
        "found_as": _found_as(found, books),
        "orders": [
            {
                "shop": order.shop,
                "order_id": order.order_id,
                "status": order.status,
                "order": order.facts,
                "returns": [{"return": facts, "status": status} for facts, status in order.returns],
                "events": order.events,
                "writes": order.writes,
                "exceptions": order.exceptions,
            }
            for order in found.orders
        ],
        "log_lines": books.log_lines,
        "payout_cycles": [each for each in books.things if isinstance(each, Cycle)],
        "documents": [each for each in books.things if isinstance(each, Document)],
        "journals": [each for each in books.things if isinstance(each, Journal)],
        "vat_returns": [each for each in books.things if isinstance(each, VatReturn)],
        "control_accounts": [each for each in books.things if isinstance(each, ControlAccount)],
    }
    if landed is not None:
        told["payloads"] = [{**asdict(each), "body": msgspec.Raw(each.body.encode())} for each in landed]
    return told


def _found_as(found: LookUp, books: Drilled) -> list[str]:
    return sorted({*found.found_as, *trace_books.kinds(books)})


def _render(page: Console, found: LookUp, books: Drilled, landed: list[Payload]) -> None:
    page.print(f"{found.reference} is: {', '.join(_found_as(found, books))}")
    trace_books.render(page, books)
    for order in found.orders:
        _render_order(page, order)
    if found.more:
        page.print(f"\n{found.more} more orders have this number; look each up by its own.")
    trace_books.render_payloads(page, landed)


def _render_order(page: Console, order: OrderView) -> None:
    total = amount(order.facts.total_minor, order.facts.currency)
    page.print(f"\n{order.shop} order {order.order_id}, {total}", style="bold")
    _say(page, "", order.status)
    if len(order.returns) > 1:
        for facts, status in order.returns:
            _say(page, f"return {facts.return_id}: ", status)
    page.print(
        table(
            "What happened (UTC)",
            ("when", "what", "source", "about"),
            [
                (moment(each.occurred_at), each.event.replace("_", " "), each.source, _about(each, order.order_id))
                for each in order.events
            ],
            wrap=("about",),
        )
    )
    page.print(
        table(
            "What we wrote",
            ("kind", "state", "amount", "confirmed", "reference", "tries"),
            [
                (
                    each.kind,
                    each.state,
                    amount(each.amount_minor, each.currency) if each.amount_minor else "",
                    moment(each.confirmed_at),
                    "" if each.external_ref == order.order_id else each.external_ref,
                    each.attempt_count,
                )
                for each in order.writes
            ],
            right=("amount", "tries"),
            wrap=("reference",),
        )
    )
    if order.exceptions:
        page.print(
            table(
                "Open exceptions",
                ("id", "type", "owner", "message"),
                [(each.exception_id, each.type, each.owner, each.message) for each in order.exceptions],
                wrap=("message",),
            )
        )


def _say(page: Console, what: str, status: Status) -> None:
    page.print(f"{what}{status.sentence}.")
    if status.next_step:
        page.print(f"Next ({status.owner}): {status.next_step}")


def _about(event: Event, order_id: str) -> str:
    """Name what an event is about, as far as it is more than the order itself."""
    named = {event.reference: "", event.return_id: "return ", event.order_line_id: "line "}
    return ", ".join(f"{word}{value}" for value, word in named.items() if value and value != order_id)
