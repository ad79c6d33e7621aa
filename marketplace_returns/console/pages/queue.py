"""The exception queue, one exception, and what people do with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from marketplace_returns.clock import instant_of, microseconds_of
from marketplace_returns.console import playbooks
from marketplace_returns.console.page import NUMBER_MAX, NotThere, Page, Visit
from marketplace_returns.console.roles import DEPARTMENTS, Permission
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.ledger.queue import TEXT_CHARACTERS_MAX, Place, QueueFilter, Shown
from marketplace_returns.mappings import Severity

ROWS: Final = 50
_FILTERS: Final = ("shop", "owner", "severity", "type", "shown", "text")
_OWNER_CHARACTERS: Final = 60
_KEY: Final = re.compile(r"(?P<way>[ab])(?P<micros>[0-9]{1,17})\.(?P<row>[0-9]{1,18})", re.ASCII)  # up to the year 5138


def show(visit: Visit) -> Response:
    """Show the queue: filters, counts by owner and age, and one page of rows."""
    wanted = _wanted(visit)
    place = _place(visit)
    found = visit.ledger.queue_page(wanted, place, limit=ROWS)
    is_whole = place is None and wanted == QueueFilter(shop=wanted.shop)
    counted = visit.ledger.queue_counts(wanted.shop) if is_whole else []  # what costs most, where it is looked for
    return visit.render(
        "queue.html",
        wanted=wanted,
        rows=found.rows,
        own=DEPARTMENTS[visit.role] if len(DEPARTMENTS[visit.role]) == 1 else (),
        counts=counted,
        is_resolved=wanted.shown is Shown.RESOLVED,
        is_all_chosen=visit.query.get("all") == "1",
        here=_link(visit, place=visit.query.get("from", "")),
        before=_link(visit, place=_key(found.rows[0], wanted, "b")) if found.rows and found.has_before else "",
        after=_link(visit, place=_key(found.rows[-1], wanted, "a")) if found.rows and found.has_after else "",
        choices={
            "shop": sorted(visit.settings.shops),
            "owner": sorted({*(rule.owner for rule in default_rules().values()), *(each.owner for each in counted)}),
            "severity": list(Severity),
            "type": sorted(default_rules()),
            "shown": list(Shown),
        },
        owner_link=lambda owner: f"/exceptions?{urlencode({'owner': owner, 'shop': wanted.shop})}",
    )


def act_on_many(visit: Visit) -> Response:
    """Assign, snooze or resolve all that were chosen, or none where one cannot be."""
    chosen = [_exception_id(text) for text in dict.fromkeys(visit.chosen("chosen"))]
    if not chosen:
        raise BadArgument("no exception was chosen: tick those that are meant")
    if len(chosen) > ROWS:
        raise BadArgument(f"more than {ROWS} exceptions were chosen: do one page at a time")
    act, words = _act(visit)
    act(chosen)
    return visit.go(_back(visit), f"{len(chosen)} exceptions: {words}.")


def show_one(visit: Visit) -> Response:
    """Show an exception: evidence, write, history, money, clock, next step."""
    found = _found(visit)
    intents = visit.ledger.intents(intent_ids=[found.intent_id]) if found.intent_id else []
    return visit.render(
        "exception.html",
        each=found,
        intent=intents[0] if intents else None,
        body=_written(intents[0].body) if intents else "",
        computed_from=_written(intents[0].evidence) if intents and intents[0].evidence else "",
        tries=visit.ledger.attempts([found.intent_id]) if intents else [],
        history=visit.ledger.exception_history(found.exception_id),
        evidence=[(name, _written(value)) for name, value in found.evidence.items()],
        playbook=playbooks.of_type(found.type),
        owners=sorted({rule.owner for rule in default_rules().values()}),
    )


def act_on_one(visit: Visit) -> Response:
    """Assign, snooze or resolve one exception."""
    found = _found(visit)
    act, words = _act(visit)
    act([found.exception_id])
    return visit.go(f"/exceptions/{found.exception_id}", f"{found.type} {found.exception_id}: {words}.")


def retry(visit: Visit) -> Response:
    """Go on with the write of an exception; nothing is sent blindly."""
    found = _found(visit)
    note = visit.said("note", "the reason", is_needed=False)
    intent = visit.ledger.retry(found.exception_id, by=visit.by, note=note)
    return visit.go(
        f"/exceptions/{found.exception_id}",
        f"{intent.kind} {intent.natural_key} is {intent.state} again; the next pass goes on with it.",
    )


def show_playbooks(visit: Visit) -> Response:
    """Show all playbooks."""
    return visit.render("playbooks.html", text=playbooks.whole())


def _act(visit: Visit) -> tuple[Callable[[Sequence[int]], object], str]:
    """Return what a form asks to be done with exceptions, and how that is told."""
    ledger, by = visit.ledger, visit.by
    match visit.form.get("do", ""):
        case "assign":
            owner = visit.said("owner", "the new owner", longest=_OWNER_CHARACTERS)
            note = visit.said("note", "the reason", is_needed=False)
            return lambda each: ledger.assign_all(each, owner, by=by, note=note), f"now {owner}'s"
        case "snooze":
            day, note = _day(visit), visit.said("note", "the reason")
            return lambda each: ledger.snooze_to_day(each, day, by=by, note=note), f"quiet until {day}"
        case "resolve":
            note = visit.said("note", "the reason")
            return lambda each: ledger.resolve_all(each, by=by, note=note), "resolved"
        case "retry":
            visit.check_may(Permission.RETRY_WRITES)
            note = visit.said("note", "the reason", is_needed=False)
            return lambda each: ledger.retry_all(each, by=by, note=note), "the next pass goes on with their writes"
        case _:
            raise BadArgument("that is nothing that can be done with an exception: assign, snooze, retry or resolve it")


def _found(visit: Visit) -> OpenException:
    exception_id = visit.number("exception_id")
    found = visit.ledger.exceptions(exception_id=exception_id, is_open=None)
    if not found:
        raise NotThere(f"There is no exception {exception_id}.")
    return found[0]


def _wanted(visit: Visit) -> QueueFilter:
    said = {name: visit.query.get(name, "").strip()[:TEXT_CHARACTERS_MAX] for name in _FILTERS}
    shown = said.pop("shown") or Shown.DUE
    if shown not in set(Shown):
        raise BadArgument(f"there is no such list of exceptions: choose one of {', '.join(Shown)}")
    return QueueFilter(**said, shown=Shown(shown))


def _link(visit: Visit, *, place: str) -> str:
    """Return the address of the queue with its filters, from a place on."""
    said = {name: visit.query[name] for name in _FILTERS if visit.query.get(name)}
    if place:
        said["from"] = place
    return "/exceptions" + (f"?{urlencode(said)}" if said else "")


def _key(each: OpenException, wanted: QueueFilter, direction: str) -> str:
    """Write where a page begins, for a link: direction, microseconds, id."""
    at = each.resolved_at if wanted.shown is Shown.RESOLVED and each.resolved_at else each.due_at
    return f"{direction}{microseconds_of(at)}.{each.exception_id}"


def _place(visit: Visit) -> Place | None:
    text = visit.query.get("from", "")
    if not text:
        return None
    key = _KEY.fullmatch(text)
    if key is None:
        raise BadArgument("that page of the queue is not there: begin at the first")
    return Place(instant_of(int(key["micros"])), int(key["row"]), is_before=key["way"] == "b")


def _exception_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > NUMBER_MAX:
        raise BadArgument("what was chosen is no exception: open the queue again")
    return int(text)


def _day(visit: Visit) -> date:
    text = visit.form.get("until", "").strip()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadArgument(f"{text[:20]!r} is not a day: write the day it is quiet up to as 2026-11-30") from None
    if day.year > visit.clock.now().year + 1:
        raise BadArgument(f"{day} is too far away: nothing is quiet for more than a year")
    return day


def _back(visit: Visit) -> str:
    """Return the queue as it was when the form was sent: a path of ours with a query, nothing else."""
    said = visit.form.get("back", "")
    return said if said == "/exceptions" or said.startswith("/exceptions?") else "/exceptions"


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()


PAGES = (
    Page("/exceptions", Permission.SEE_QUEUE, show=show, title="Exceptions"),
    Page("/exceptions/act", Permission.WORK_QUEUE, act=act_on_many),
    Page("/exceptions/{exception_id:int}", Permission.SEE_QUEUE, show=show_one),
    Page("/exceptions/{exception_id:int}/act", Permission.WORK_QUEUE, act=act_on_one),
    Page("/exceptions/{exception_id:int}/retry", Permission.RETRY_WRITES, act=retry),
    Page("/playbooks", Permission.SEE_QUEUE, show=show_playbooks, title="Playbooks"),
)
