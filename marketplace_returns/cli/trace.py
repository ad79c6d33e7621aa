"""``trace``: the whole life of one thing by any of its numbers."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from marketplace_returns.cli.context import opened
from marketplace_returns.cli.output import Output, amount, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.reconciliation.trace import events, find


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
                ("when", "what", "source", "line", "return", "reference"),
                [
                    (
                        f"{each.occurred_at:%Y-%m-%d %H:%M}",
                        each.event.replace("_", " "),
                        each.source,
                        each.order_line_id,
                        each.return_id,
                        each.reference,
                    )
                    for each in order["events"]
                ],
            )
        )
        page.print(
            table(
                "What we wrote",
                ("kind", "state", "amount", "confirmed", "reference", "attempts"),
                [
                    (
                        each.kind,
                        each.state,
                        amount(each.amount_minor, each.currency) if each.amount_minor else "",
                        f"{each.confirmed_at:%Y-%m-%d %H:%M}" if each.confirmed_at else "",
                        each.external_ref,
                        each.attempt_count,
                    )
                    for each in order["writes"]
                ],
                right=("amount", "attempts"),
            )
        )
        if order["exceptions"]:
            page.print(
                table(
                    "Open exceptions",
                    ("id", "type", "owner", "message"),
                    [(each.exception_id, each.type, each.owner, each.message) for each in order["exceptions"]],
                )
            )
