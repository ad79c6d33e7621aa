"""``audit verify``: the proof that the ledger's history is as it was written."""

from __future__ import annotations

import typer
from rich.console import Console

from marketplace_returns.cli.context import opened
from marketplace_returns.cli.output import Output, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.audit import Chain

app = typer.Typer(help="The ledger's history.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """The ledger's history."""


@app.command("verify")
def verify(shop: ShopOption = None, as_json: JsonOption = False) -> int:
    """Prove every shop's history, row by row; exits 1 and names the first row that was changed, removed or put in."""
    output = Output(as_json=as_json)
    with opened() as opened_app, output.progress("history"):
        chains = opened_app.ledger.verify_history()
        known = sorted({*opened_app.settings.shops, *(each.shop for each in chains)})
    if shop is not None:
        if shop not in known:
            raise BadArgument(
                f"shop {shop!r} is neither in the settings nor in the history: use one of {', '.join(known)}"
            )
        chains = [each for each in chains if each.shop == shop]
    output.show({"chains": chains}, lambda page: _render(page, chains))
    return 1 if any(each.broken for each in chains) else 0


def _render(page: Console, chains: list[Chain]) -> None:
    page.print(
        table(
            "History",
            ("shop", "events", "proven", "last hash"),
            [(each.shop, each.events, "no" if each.broken else "yes", each.head[:16]) for each in chains],
            right=("events",),
        )
    )
    for each in chains:
        if each.broken is not None:
            page.print(f"\n{each.shop}: {each.broken.message}. What follows it is not proven.")
