"""``trace``: the whole life of one thing by any of its numbers."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from marketplace_returns.cli.context import opened
from marketplace_returns.cli.output import Output, amount, moment, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.reconciliation.trace import Event, events, find


def trace(
    reference: Annotated[
        str,
        typer.Argument(metavar="ID", help="Order, line, return, RMA, refund, tracking or warehouse order number."),
    ],
    as_json: JsonOption = False,
) -> int:
    """Show the whole life of an order, by any number that belongs to it."""
    output = Output(as_json=as_json)
    with opened() as app:
        con = app.modelled()
        found = find(con, reference)
        if not found:
            raise BadArgument(
                f"{reference!r} is no order, line, return, RMA, refund, tracking or warehouse order number that was read "
                "so far; 'sync' reads what is new"
            )
        orders = sorted({(each.shop, each.order_id) for each in found})
        told = {order: events(con, *order) for order in orders}
        intents = {order: app.ledger.intents(shop=order[0], order_id=order[1]) for order in orders}
        waiting = {
            order: [each for each in app.ledger.exceptions(shop=order[0]) if each.entity.get("order_id") == order[1]]
            for order in orders
        }
    document = {
        "reference": reference,
        "found_as": sorted({each.kind for each in found}),
        "orders": [
            {
                "shop": order[0],
                "order_id": order[1],
                "events": told[order],
                "writes": intents[order],
                "exceptions": waiting[order],
            }
            for order in orders
        ],
    }
    output.show(document, lambda page: _render(page, document))
    return 0


def _render(page: Console, document: dict[str, Any]) -> None:
    page.print(f"{document['reference']} is: {', '.join(document['found_as'])}")
    for order in document["orders"]:
        page.print(
            table(
                f"{order['shop']} order {order['order_id']}: what happened (UTC)",
                ("when", "what", "source", "about"),
                [
                    (
                        moment(each.occurred_at),
                        each.event.replace("_", " "),
                        each.source,
                        _about(each, order["order_id"]),
                    )
                    for each in order["events"]
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
                        "" if each.external_ref == order["order_id"] else each.external_ref,
                        each.attempt_count,
                    )
                    for each in order["writes"]
                ],
                right=("amount", "tries"),
                wrap=("reference",),
            )
        )
        if order["exceptions"]:
            page.print(
                table(
                    "Open exceptions",
                    ("id", "type", "owner", "message"),
                    [(each.exception_id, each.type, each.owner, each.message) for each in order["exceptions"]],
                    wrap=("message",),
                )
            )


def _about(event: Event, order_id: str) -> str:
    """Name what an event is about, as far as it is more than the order itself."""
    named = {event.reference: "", event.return_id: "return ", event.order_line_id: "line "}
    return ", ".join(f"{word}{value}" for value, word in named.items() if value and value != order_id)
