"""``exceptions list`` and ``exceptions show``: the queue of what people must look at."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from marketplace_returns.cli.context import opened
from marketplace_returns.cli.output import Output, amount, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.exceptions import OpenException

app = typer.Typer(help="The exception queue.", no_args_is_help=True)


@app.command("list")
def list_(
    shop: ShopOption = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Only of this owner.")] = None,
    exception_type: Annotated[
        str | None, typer.Option("--type", help="Only of this type, such as REFUND_OVERDUE.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List the open exceptions, most urgent clock first; exits 1 while a critical one is open."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        if shop:
            opened_app.shop(shop)
        found = opened_app.ledger.exceptions(
            shop=shop, owner=owner, types=[exception_type] if exception_type else None, limit=limit
        )
    output.show(
        {"exceptions": found},
        lambda page: page.print(
            table(
                f"{len(found)} open exceptions",
                ("id", "shop", "type", "severity", "owner", "at risk", "due (UTC)", "seen", "message"),
                [
                    (
                        each.exception_id,
                        each.shop,
                        each.type,
                        each.severity,
                        each.owner,
                        amount(each.amount_minor, each.currency),
                        f"{each.due_at:%d %b %H:%M}",
                        each.seen_count,
                        each.message,
                    )
                    for each in found
                ],
                right=("id", "at risk", "seen"),
            )
        ),
    )
    return 1 if any(each.severity == "critical" for each in found) else 0


@app.command("show")
def show(
    exception_id: Annotated[int, typer.Argument(help="Number of the exception, as in the list.")],
    as_json: JsonOption = False,
) -> int:
    """Show one exception with its evidence and what to do."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        found = opened_app.ledger.exceptions(exception_id=exception_id, is_open=None)
    if not found:
        raise BadArgument(f"there is no exception {exception_id}: 'exceptions list' shows the open ones")
    (each,) = found
    output.show({"exception": each}, lambda page: _render(page, each))
    return 0


def _render(page: Console, each: OpenException) -> None:
    state = f"resolved {each.resolved_at:%Y-%m-%d %H:%M} UTC: {each.resolution}" if each.resolved_at else "open"
    page.print(
        table(
            f"{each.type} {each.exception_id} ({state})",
            ("", ""),
            [
                ("what", each.message),
                ("about", ", ".join(f"{name} {value}" for name, value in each.entity.items())),
                ("owner", each.owner),
                ("severity", each.severity),
                ("root cause", each.root_cause),
                ("money at risk", amount(each.amount_minor, each.currency)),
                ("opened", f"{each.opened_at:%Y-%m-%d %H:%M} UTC, seen {each.seen_count} times"),
                ("due", f"{each.due_at:%Y-%m-%d %H:%M} UTC"),
                ("playbook", each.playbook),
                ("evidence", each.evidence or ""),
            ],
        )
    )
