"""``mappings``: the words nobody has mapped yet, and adding a row with its effect seen before."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console

from marketplace_returns.cli.context import opened, shops
from marketplace_returns.cli.output import Output, amount, moment, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.desk.mapping_change import propose, save
from marketplace_returns.desk.mapping_preview import Effect, preview, review
from marketplace_returns.errors import BadArgument

app = typer.Typer(help="The mapping tables: review, and add a row.", no_args_is_help=True)
TOLD: Final = {
    "closes": "exceptions close",
    "opens": "exceptions open",
    "plans": "writes are planned",
    "drops": "planned writes are taken back",
    "changes": "planned writes change",
}


@app.command("review")
def review_(
    shop: ShopOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The mapped words too, not only those without a row.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """List the outside words that have no row, with how often they came and an example; exits 1 while there are any."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        desk, now = opened_app.desk(), opened_app.clock.now()
        found = [{"shop": name} | row for name in shops(opened_app, shop) for row in review(desk, name, now).dicts()]
    shown = [row for row in found if everything or row["state"] == "unmapped"]
    output.show(
        {"codes": shown},
        lambda page: page.print(
            table(
                "Words of outside systems",
                ("shop", "table", "system", "flow", "word", "state", "seen", "last", "example"),
                [
                    (
                        row["shop"],
                        row["mapping_table"],
                        row["source_system"],
                        row["flow"],
                        row["source_code"],
                        row["state"],
                        row["seen"],
                        moment(row["last_seen_at"]),
                        row["example"],
                    )
                    for row in shown
                ],
                right=("seen",),
                wrap=("word", "example"),
            )
            if shown
            else "Every word that came has a row."
        ),
    )
    return 1 if any(row["state"] == "unmapped" for row in found) else 0


@app.command("add")
def add(
    mapping_table: Annotated[str, typer.Argument(metavar="TABLE", help="reasons, dispositions, carriers, skus...")],
    cells: Annotated[list[str], typer.Argument(metavar="COLUMN=VALUE...", help="The row; what is left out is empty.")],
    by: Annotated[str, typer.Option("--by", help="Who adds it: kept in the history.")],
    note: Annotated[str, typer.Option("--note", help="Why: kept in the history.")],
    preview_only: Annotated[
        bool, typer.Option("--preview", help="Show what it would move, and change nothing.")
    ] = False,
    is_sure: Annotated[bool, typer.Option("--yes", help="Add it without asking.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Add a row to a mapping table, once you have seen what it moves; the next pass sends what was held."""
    output = Output(as_json=as_json)
    if not by.strip() or not note.strip():
        raise BadArgument("--by and --note are kept in the history: give both")
    if as_json and not (is_sure or preview_only):
        raise BadArgument("--json asks nothing: give --yes to add the row, or --preview to see what it moves")
    with opened() as opened_app:
        proposal = propose(opened_app.settings, mapping_table, _row(cells), by=by.strip())
        effects = preview(opened_app.desk(), proposal.mappings, opened_app.clock.now())
        if not as_json:
            _render(output.page, effects)
        is_saved = not preview_only and (is_sure or typer.confirm(f"Add the row to {mapping_table}.csv?", err=True))
        if is_saved:
            save(opened_app.settings, opened_app.ledger, proposal, by=by.strip(), note=note.strip())
    output.show(
        {"table": mapping_table, "row": proposal.row, "effects": effects, "is_saved": is_saved},
        lambda page: page.print(
            f"Added to {mapping_table}.csv. The next pass works with it: 'sync' makes one now."
            if is_saved
            else "Nothing was changed."
        ),
    )
    return 0


def _row(cells: list[str]) -> dict[str, str]:
    row: dict[str, str] = {}
    for cell in cells:
        column, equals, value = cell.partition("=")
        if not equals:
            raise BadArgument(f"{cell!r} is not COLUMN=VALUE, such as source_code=RETURN_FIT")
        if column in row:
            raise BadArgument(f"column {column} is given twice")
        row[column] = value
    return row


def _render(page: Console, effects: list[Effect]) -> None:
    if not effects:
        page.print("No lane would decide anything else now.")
        return
    page.print(
        table(
            "What the row would move",
            ("shop", "what", "of", "count", "money", "such as"),
            [
                (
                    each.shop,
                    TOLD[each.what],
                    each.name + (f" ({each.mode})" if each.mode and each.mode != "live" else ""),
                    each.count,
                    ", ".join(amount(minor, currency) for currency, minor in each.amounts),
                    ", ".join(each.examples[:2]),
                )
                for each in effects
            ],
            right=("count",),
            wrap=("such as",),
        )
    )
