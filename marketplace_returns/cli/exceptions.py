"""``exceptions``: the queue of what people must look at, and what they may do with one."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from marketplace_returns.cli.context import day_of, opened
from marketplace_returns.cli.output import Output, amount, as_json_text, moment, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.exceptions import OpenException

app = typer.Typer(help="The exception queue.", no_args_is_help=True)
ID_MAX: Final = 2**63 - 1


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
    output.show({"exceptions": found}, lambda page: _render_list(page, found, limit))
    return 1 if any(each.severity == "critical" for each in found) else 0


ById = Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="Number of the exception, as in the list.")]
ByOption = Annotated[str, typer.Option("--by", help="Who does it: kept in the exception's history.")]
NoteOption = Annotated[str, typer.Option("--note", help="Why: kept in the exception's history.")]


@app.command("show")
def show(exception_id: ById, as_json: JsonOption = False) -> int:
    """Show one exception with its evidence and what to do."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        found = opened_app.ledger.exceptions(exception_id=exception_id, is_open=None)
    if not found:
        raise BadArgument(f"there is no exception {exception_id}: 'exceptions list' shows the open ones")
    (each,) = found
    output.show({"exception": each}, lambda page: _render(page, each))
    return 0


@app.command("assign")
def assign(
    exception_id: ById,
    owner: Annotated[str, typer.Option("--owner", help="The new owner.")],
    by: ByOption,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> int:
    """Give an exception to another owner."""
    owner, by = _said("--owner", owner), _said("--by", by)
    with opened() as opened_app:
        changed = opened_app.ledger.assign(exception_id, owner, by=by, note=note)
    return _tell(changed, f"{changed.type} {exception_id} is now {owner}'s.", as_json=as_json)


@app.command("snooze")
def snooze(
    exception_id: ById,
    until: Annotated[str, typer.Option("--until", help="Day up to which it is quiet, such as 2026-11-30.")],
    by: ByOption,
    note: NoteOption,
    as_json: JsonOption = False,
) -> int:
    """Quieten an exception for some days, with a reason; its clock keeps running."""
    by, note = _said("--by", by), _said("--note", note)
    day = datetime.combine(day_of("--until", until), time(), UTC)
    with opened() as opened_app:
        if day <= opened_app.clock.now():
            raise BadArgument(f"--until {until} is not after today: give a later day")
        changed = opened_app.ledger.snooze(exception_id, day, by=by, note=note)
    return _tell(changed, f"{changed.type} {exception_id} is quiet until {until}.", as_json=as_json)


@app.command("resolve")
def resolve(exception_id: ById, by: ByOption, note: NoteOption, as_json: JsonOption = False) -> int:
    """Close an exception by hand, with a reason; where its cause is still there it opens again at the next pass."""
    by, note = _said("--by", by), _said("--note", note)
    with opened() as opened_app:
        changed = opened_app.ledger.resolve(exception_id, by=by, note=note)
    return _tell(changed, f"{changed.type} {exception_id} is resolved.", as_json=as_json)


@app.command("retry")
def retry(exception_id: ById, by: ByOption, note: NoteOption = "", as_json: JsonOption = False) -> int:
    """Go on with the write of an exception: plan it anew or read it back, never send it blindly."""
    output, by = Output(as_json=as_json), _said("--by", by)
    with opened() as opened_app:
        intent = opened_app.ledger.retry(exception_id, by=by, note=note)
    output.show(
        {"intent": intent},
        lambda page: page.print(
            f"{intent.kind} {intent.natural_key} is {intent.state} again; the next pass goes on with it."
        ),
    )
    return 0


def _tell(changed: OpenException, words: str, *, as_json: bool) -> int:
    Output(as_json=as_json).show({"exception": changed}, lambda page: page.print(words))
    return 0


def _said(name: str, text: str) -> str:
    """Return what was said, for the history; BadArgument where it is nothing."""
    if not text.strip():
        raise BadArgument(f"{name} is empty: it is kept in the exception's history")
    return text.strip()


def _render_list(page: Console, found: list[OpenException], limit: int) -> None:
    """Draw each exception as a line of facts with its message below: messages need the width."""
    if not found:
        page.print("No open exceptions.")
        return
    lines = Table.grid(padding=(0, 2, 1, 0))
    lines.add_column(justify="right", no_wrap=True)
    lines.add_column()
    for each in found:
        facts = [each.severity, each.owner, each.shop, f"due {moment(each.due_at)} UTC"]
        if each.amount_minor:
            facts.append(f"{amount(each.amount_minor, each.currency)} at risk")
        if each.seen_count > 1:
            facts.append(f"seen {each.seen_count} times")
        lines.add_row(
            str(each.exception_id), Text.assemble((each.type, "bold"), f"  {', '.join(facts)}\n", each.message)
        )
    of_more = " (there may be more: --limit)" if len(found) == limit else ""
    page.print(f"\n{len(found)} open exceptions{of_more}\n", style="bold")
    page.print(lines)
    page.print("'exceptions show ID' tells more of one.")


def _render(page: Console, each: OpenException) -> None:
    state = f"resolved {moment(each.resolved_at)} UTC: {each.resolution}" if each.resolved_at else "open"
    page.print(
        table(
            f"{each.type} {each.exception_id} ({state})",
            ("", "fact"),
            [
                ("what", each.message),
                ("about", ", ".join(f"{name} {value}" for name, value in each.entity.items())),
                ("owner", each.owner),
                ("severity", each.severity),
                ("root cause", each.root_cause),
                ("money at risk", amount(each.amount_minor, each.currency) if each.amount_minor else ""),
                ("opened", f"{moment(each.opened_at)} UTC, seen {each.seen_count} times"),
                ("due", f"{moment(each.due_at)} UTC"),
                ("playbook", each.playbook),
                ("evidence", as_json_text(each.evidence) if each.evidence else ""),
            ],
            wrap=("fact",),
        )
    )
