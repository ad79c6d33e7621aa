"""``tables`` and ``checklist``: what monitoring sees, and the checks that each department makes of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from marketplace_returns.cli.context import opened, shops
from marketplace_returns.cli.output import Output, table
from marketplace_returns.cli.output import moment as told_moment
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.monitoring.checklist import ITEMS, judge_one, refuse_empty_tick, standing, tick
from marketplace_returns.monitoring.readers import READERS
from marketplace_returns.monitoring.watch import TABLES, Seen, meaning
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.watching import glance

tables = typer.Typer(help="The monitoring tables.", no_args_is_help=True)
checklist = typer.Typer(help="The daily, weekly and monthly checks.", no_args_is_help=True)
ROWS_SHOWN: Final = 50


@tables.command("list")
def list_(as_json: JsonOption = False) -> int:
    """List the monitoring tables, with what a row of each is and whose it is."""
    rows = [(name, READERS[name][0], meaning(name).partition(" Key:")[0]) for name in TABLES]
    document = {"tables": [{"table": name, "readers": READERS[name], "meaning": meaning(name)} for name in TABLES]}
    Output(as_json=as_json).show(
        document, lambda page: page.print(table("Tables", ("table", "whose", "one row"), rows, wrap=("one row",)))
    )
    return 0


@tables.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table, as in the list.")],
    shop: ShopOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write all rows of one shop there, as CSV.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Look at a monitoring table as it is now; nothing is raised or changed."""
    if name not in TABLES:
        raise BadArgument(f"there is no table {name!r}: 'tables list' shows those there are")
    with opened() as app:
        found = {each: glance(app, each, name) for each in shops(app, shop)}
        if out is not None:
            _write(app, found, out)
    rows = {each: seen.dicts() for each, seen in found.items()}
    Output(as_json=as_json).show(
        {"table": name, "shops": rows}, lambda page: page.print(*(_drawn(*each) for each in found.items()))
    )
    return 0


@checklist.command("show")
def show_checks(
    shop: ShopOption = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Only of this department.")] = None,
    as_json: JsonOption = False,
) -> int:
    """List the checks with what is due and who ticked each last; exits 1 while one is overdue."""
    with opened() as app:
        found = [check for each in shops(app, shop) for check in _checks(app, each, owner)]
    rows = [
        (
            check["shop"],
            check["check"],
            check["state"],
            str(check["due_on"]),
            check["by"],
            _moment(check["at"]),
            check["item"],
        )
        for check in found
    ]
    heads = ("shop", "check", "state", "by", "ticked by", "at (UTC)", "what must hold")
    Output(as_json=as_json).show(
        {"checks": found}, lambda page: page.print(table("Checklist", heads, rows, wrap=("what must hold",)))
    )
    return 1 if any(check["state"] == "overdue" for check in found) else 0


@checklist.command("tick")
def tick_(
    check: Annotated[str, typer.Argument(metavar="CHECK", help="Name of the check, as in the list.")],
    by: Annotated[str, typer.Option("--by", help="Who made it: kept in the history.")],
    note: Annotated[str, typer.Option("--note", help="What was found: kept in the history.")] = "",
    shop: ShopOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tick a check; its table is looked at, and where rows speak against it a note must say what is done about them."""
    item = next((each for each in ITEMS if each.key == check), None)
    if item is None:
        raise BadArgument(f"there is no check {check!r}: 'checklist show' lists those there are")
    if not by.strip():
        raise BadArgument("--by is empty: it is kept in the history")
    with opened() as app:
        against = {
            each: judge_one(item, glance(app, each, item.table)).open_rows if item.table else None
            for each in shops(app, shop)
        }
        for open_rows in against.values():  # before any is ticked
            refuse_empty_tick(item, open_rows, note)
        for each, open_rows in against.items():
            tick(app.ledger, each, item, open_rows, by=by.strip(), note=note)
    told = ", ".join(f"{each}: {rows or 0} rows against it" for each, rows in against.items())
    Output(as_json=as_json).show(
        {"check": check, "open_rows": against}, lambda page: page.print(f"Ticked {check} ({told}).")
    )
    return 0


def _checks(app: App, shop: str, owner: str | None) -> list[dict[str, Any]]:
    meant = [item for item in ITEMS if owner in (None, item.owner)]
    if not meant:
        owners = ", ".join(dict.fromkeys(item.owner for item in ITEMS))
        raise BadArgument(f"--owner {owner!r} has no checks: use one of {owners}")
    last, began_at, now = (
        app.ledger.last_ticks(shop, [item.key for item in meant]),
        app.ledger.began_at(shop),
        app.clock.now(),
    )
    found = []
    for item in meant:
        ticked = last.get(item.key)
        stands = standing(
            item.cadence, app.shop(shop), ticked_at=ticked.at if ticked else None, began_at=began_at, now=now
        )
        found.append(
            {
                "shop": shop,
                "check": item.key,
                "item": item.item,
                "owner": item.owner,
                "cadence": item.cadence,
                "look": item.table or item.look,
                "state": stands.state,
                "due_on": stands.due_on,
                "by": ticked.actor if ticked else "",
                "at": ticked.at if ticked else None,
                "note": ticked.facts.get("note", "") if ticked else "",
            }
        )
    return found


def _write(app: App, found: dict[str, Seen], out: Path) -> None:
    from marketplace_returns.console.table_view import Wanted, as_csv  # noqa: PLC0415 - only where a file is asked for

    if len(found) != 1:
        raise BadArgument("--out takes the rows of one shop: name it by --shop")
    ((shop, seen),) = found.items()
    with out.open("w", encoding="utf-8", newline="") as file:
        file.write(as_csv(seen, Wanted(), app.shop(shop).currency))


def _drawn(shop: str, seen: Seen) -> Any:
    rows = [tuple(_cell(cell) for cell in row) for row in seen.rows[:ROWS_SHOWN]]
    of_more = f", the first {ROWS_SHOWN}" if len(seen.rows) > ROWS_SHOWN else ""
    return table(f"{seen.name} of {shop}: {len(seen.rows)} rows{of_more}", seen.columns, rows, wrap=seen.columns[-1:])


def _cell(value: object) -> object:
    return told_moment(value) if isinstance(value, datetime) else value


def _moment(instant: datetime | None) -> str:
    return told_moment(instant)
