"""``exceptions``: the queue of what people must look at, and what they may do with one."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from marketplace_returns.cli.context import day_of, opened
from marketplace_returns.cli.output import Output, amount, as_json_text, moment, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.audit import Happening
from marketplace_returns.ledger.catalogue import ALL
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.mappings import Severity
from marketplace_returns.orchestration.app import App

app = typer.Typer(help="The exception queue.", no_args_is_help=True)
ID_MAX: Final = 2**63 - 1
_TOLD: Final = ("opening", "owner", "note", "stage", "state", "outcome", "text")


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
        if shop is not None:
            opened_app.shop(shop)
        found = opened_app.ledger.exceptions(
            shop=shop, owner=owner, types=None if exception_type is None else [exception_type], limit=limit
        )
        if not found:
            _refuse_unknown(opened_app, owner, exception_type)
        now = opened_app.clock.now()
    output.show({"exceptions": found}, lambda page: _render_list(page, found, limit, now))
    return 1 if any(each.severity == "critical" for each in found) else 0


def _refuse_unknown(opened_app: App, owner: str | None, exception_type: str | None) -> None:
    """Raise BadArgument for a word that nothing was ever found by: nothing found would read as if all were well."""
    owners = opened_app.ledger.owners()
    if owner is not None and opened_app.ledger.exceptions(owner=owner, is_open=None, limit=1):
        owner = None  # a person who was given some and has none left
    for option, word, known in (("--type", exception_type, list(owners)), ("--owner", owner, list(owners.values()))):
        if word is not None and word not in known:
            near = get_close_matches(word.upper() if option == "--type" else word, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(set(known)))}"
            raise BadArgument(f"{option} {word!r} is of no exception: {meant}")


ById = Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="Number of the exception, as in the list.")]
Ids = Annotated[
    list[int] | None,
    typer.Argument(
        metavar="ID", min=1, max=ID_MAX, help="Numbers of the exceptions; or name them by --type and so on."
    ),
]
OfType = Annotated[str | None, typer.Option("--type", help="Instead of ids: all open ones of this type.")]
OfOwner = Annotated[str | None, typer.Option("--of", help="Instead of ids: all open ones of this owner.")]
OfSeverity = Annotated[str | None, typer.Option("--severity", help="Instead of ids: all open ones of this severity.")]
OfShop = Annotated[str | None, typer.Option("--shop", help="Instead of ids: all open ones of this shop.")]
ByOption = Annotated[str, typer.Option("--by", help="Who does it: kept in the exception's history.")]
NoteOption = Annotated[str, typer.Option("--note", help="Why: kept in the exception's history.")]


@app.command("show")
def show(exception_id: ById, as_json: JsonOption = False) -> int:
    """Show one exception with its evidence, what to do, and all that happened to it."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        found = opened_app.ledger.exceptions(exception_id=exception_id, is_open=None)
        if not found:
            raise BadArgument(f"there is no exception {exception_id}: 'exceptions list' shows the open ones")
        happened = opened_app.ledger.exception_history(exception_id)
        now = opened_app.clock.now()
    (each,) = found
    document = {"exception": each, "clock_used_percent": each.clock_used(now), "history": happened}
    output.show(document, lambda page: _render(page, each, happened, now))
    return 0


@app.command("assign")
def assign(
    owner: Annotated[str, typer.Option("--owner", help="The new owner.")],
    by: ByOption,
    exception_ids: Ids = None,
    exception_type: OfType = None,
    of_owner: OfOwner = None,
    severity: OfSeverity = None,
    shop: OfShop = None,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> int:
    """Give exceptions to another owner: by id, or all that fit; all of them or none."""
    owner, by = _said("--owner", owner), _said("--by", by)
    with opened() as opened_app:
        meant = _meant(opened_app, exception_ids, exception_type, of_owner, severity, shop)
        changed = opened_app.ledger.assign_all(meant, owner, by=by, note=note)
    return _tell(changed, f"now {owner}'s", as_json=as_json)


@app.command("snooze")
def snooze(
    until: Annotated[str, typer.Option("--until", help="Day up to which they are quiet, such as 2026-11-30.")],
    by: ByOption,
    note: NoteOption,
    exception_ids: Ids = None,
    exception_type: OfType = None,
    of_owner: OfOwner = None,
    severity: OfSeverity = None,
    shop: OfShop = None,
    as_json: JsonOption = False,
) -> int:
    """Quieten exceptions until a day begins in their shop, with a reason; their clocks keep running, and after it alerts tell of them again."""
    by, note = _said("--by", by), _said("--note", note)
    day = day_of("--until", until)
    with opened() as opened_app:
        if day < opened_app.clock.now().date():
            raise BadArgument(f"--until {until} is not after today: give a later day")
        meant = _meant(opened_app, exception_ids, exception_type, of_owner, severity, shop)
        changed = opened_app.ledger.snooze_to_day(meant, day, by=by, note=note)
    return _tell(changed, f"quiet until {until}", as_json=as_json)


@app.command("resolve")
def resolve(
    by: ByOption,
    note: NoteOption,
    exception_ids: Ids = None,
    exception_type: OfType = None,
    of_owner: OfOwner = None,
    severity: OfSeverity = None,
    shop: OfShop = None,
    as_json: JsonOption = False,
) -> int:
    """Close exceptions by hand, with a reason; one whose cause is a state that is still there opens again at the next pass."""
    by, note = _said("--by", by), _said("--note", note)
    with opened() as opened_app:
        meant = _meant(opened_app, exception_ids, exception_type, of_owner, severity, shop)
        changed = opened_app.ledger.resolve_all(meant, by=by, note=note)
    return _tell(changed, "resolved", as_json=as_json)


@app.command("retry")
def retry(
    by: ByOption,
    note: NoteOption = "",
    exception_ids: Ids = None,
    exception_type: OfType = None,
    of_owner: OfOwner = None,
    severity: OfSeverity = None,
    shop: OfShop = None,
    as_json: JsonOption = False,
) -> int:
    """Go on with the writes of exceptions: plan them anew or read them back, never send them blindly; all or none."""
    by = _said("--by", by)
    with opened() as opened_app:
        meant = _meant(opened_app, exception_ids, exception_type, of_owner, severity, shop)
        intents = opened_app.ledger.retry_all(meant, by=by, note=note)
    document: dict[str, object] = {"intents": intents}
    told = f"{len(intents)} writes are on their way again; the next pass goes on with them."
    if len(intents) == 1:
        (intent,) = intents
        document["intent"] = intent
        told = f"{intent.kind} {intent.natural_key} is {intent.state} again; the next pass goes on with it."
    Output(as_json=as_json).show(document, lambda page: page.print(told))
    return 0


def _meant(
    opened_app: App,
    exception_ids: list[int] | None,
    exception_type: str | None,
    owner: str | None,
    severity: str | None,
    shop: str | None,
) -> list[int]:
    """Return the exceptions a person means: the ids, or all open ones that fit what is said of them."""
    said = [name for name in (exception_type, owner, severity, shop) if name is not None]
    if bool(exception_ids) == bool(said):
        raise BadArgument(
            "say which exceptions: give their ids, or name them by --type, --of, --severity or --shop; not both"
        )
    if exception_ids:
        return exception_ids
    if severity is not None and severity not in set(Severity):
        raise BadArgument(f"--severity {severity!r} is none: use one of {', '.join(Severity)}")
    if shop is not None:
        opened_app.shop(shop)
    found = opened_app.ledger.exceptions(
        shop=shop,
        owner=owner,
        types=None if exception_type is None else [exception_type],
        severities=None if severity is None else [severity],
    )
    if not found:
        raise BadArgument("no open exception fits that: 'exceptions list' shows what is open")
    return [each.exception_id for each in found]


def _tell(changed: list[OpenException], words: str, *, as_json: bool) -> int:
    """Tell what was done: ``exceptions`` holds all, and ``exception`` the one where it was one."""
    document: dict[str, object] = {"exceptions": changed}
    if len(changed) == 1:
        document["exception"] = changed[0]
        told = f"{changed[0].type} {changed[0].exception_id} is {words}."
    else:
        told = f"{len(changed)} exceptions are {words}."
    Output(as_json=as_json).show(document, lambda page: page.print(told))
    return 0


def _said(name: str, text: str) -> str:
    """Return what was said, for the history; BadArgument where it is nothing."""
    if not text.strip():
        raise BadArgument(f"{name} is empty: it is kept in the exception's history")
    return text.strip()


def _render_list(page: Console, found: list[OpenException], limit: int, now: datetime) -> None:
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
        used = each.clock_used(now)
        if used:
            facts.append("overdue" if used == ALL else f"{used} % of its clock used")
        if each.seen_count > 1:
            facts.append(f"seen {each.seen_count} times")
        if each.openings > 1:
            facts.append(f"opened {each.openings} times")
        if each.is_snoozed(now):
            facts.append(f"quiet until {moment(each.snoozed_until)} UTC")
        lines.add_row(
            str(each.exception_id), Text.assemble((each.type, "bold"), f"  {', '.join(facts)}\n", each.message)
        )
    of_more = " (there may be more: --limit)" if len(found) == limit else ""
    page.print(f"\n{len(found)} open exceptions{of_more}\n", style="bold")
    page.print(lines)
    page.print("'exceptions show ID' tells more of one.")


def _render(page: Console, each: OpenException, happened: list[Happening], now: datetime) -> None:
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
                (
                    "clock began",
                    f"{moment(each.opened_at)} UTC, seen {each.seen_count} times, opened {each.openings} times",
                ),
                ("due", f"{moment(each.due_at)} UTC, {each.clock_used(now)} % of its clock used"),
                ("quiet until", f"{moment(each.snoozed_until)} UTC" if each.is_snoozed(now) else ""),
                ("do", each.action),
                ("playbook", each.playbook),
                ("evidence", as_json_text(each.evidence) if each.evidence else ""),
            ],
            wrap=("fact",),
        )
    )
    page.print(
        table(
            "What happened",
            ("when (UTC)", "what", "who", "facts"),
            [
                (
                    moment(one.at),
                    one.event,
                    one.actor,
                    ", ".join(f"{name} {fact}" for name, fact in one.facts.items() if fact and name in _TOLD),
                )
                for one in happened
            ],
            wrap=("facts",),
        )
    )
