"""The queue and the history as people read them: a page at a time, however long they are.

Here: filters, pages by key, counts, one exception's history, what people did last. Not here: any change. The invariant: a page costs
the same wherever it is in the queue: it begins at the key where the one before ended, and never counts what it skips.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, or_, select, text, tuple_

from marketplace_returns.ledger import alerts, tables
from marketplace_returns.ledger.audit import RETRY, Happening
from marketplace_returns.ledger.exceptions import OPENED, OpenException, from_row, subject
from marketplace_returns.ledger.tables import Instant

TEXT_CHARACTERS_MAX: Final = 200
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_EVENTS_MAX: Final = 500


class Shown(StrEnum):
    """Which exceptions are looked at."""

    DUE = "to do"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """What is asked for; an empty text asks for all."""

    shop: str = ""
    owner: str = ""
    severity: str = ""
    type: str = ""
    shown: Shown = Shown.DUE
    text: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins or ends: the instant it is sorted by, and the row's id; ``is_before`` asks for the page before."""

    at: datetime
    exception_id: int
    is_before: bool = False


@dataclass(frozen=True, slots=True)
class QueuePage:
    """Some exceptions in order, and whether there are others before and after them."""

    rows: tuple[OpenException, ...]
    has_before: bool
    has_after: bool


@dataclass(frozen=True, slots=True)
class OwnerCount:
    """How many open exceptions an owner has: overdue, snoozed, and by age."""

    owner: str
    total: int
    overdue: int
    snoozed: int
    within_day: int
    within_week: int
    older: int


def page(connection: Connection, wanted: QueueFilter, place: Place | None, *, limit: int, now: datetime) -> QueuePage:
    """Return one page of exceptions, open ones most urgent clock first, resolved ones newest first."""
    table = tables.exceptions
    is_back = place is not None and place.is_before
    is_newest_first = wanted.shown is Shown.RESOLVED
    at = table.c.resolved_at if is_newest_first else table.c.due_at
    query: Select[Any] = select(table).where(*_conditions(wanted, connection.dialect.name, now))
    if place is not None:
        key, here = tuple_(at, table.c.exception_id), tuple_(literal(place.at, Instant), literal(place.exception_id))
        query = query.where(key > here if is_back == is_newest_first else key < here)
    if is_back == is_newest_first:
        query = query.order_by(at, table.c.exception_id)
    else:
        query = query.order_by(at.desc(), table.c.exception_id.desc())
    found = [from_row(row) for row in connection.execute(query.limit(limit + 1)).mappings()]
    has_more = len(found) > limit
    rows = found[:limit]
    if is_back:
        rows.reverse()
    return QueuePage(tuple(rows), has_more if is_back else place is not None, is_back or has_more)


def counts(connection: Connection, shop: str, now: datetime) -> list[OwnerCount]:
    """Return the open exceptions by owner, of a shop or of all, those with most first."""
    table = tables.exceptions
    figures = (
        func.count(),
        func.count().filter(table.c.due_at < now),
        func.count().filter(table.c.snoozed_until > now),
        func.count().filter(table.c.opened_at > now - _DAY),
        func.count().filter(table.c.opened_at > now - _WEEK),
    )
    # by shop and owner, as the index is: no row of the table is looked at
    query = select(table.c.owner, *figures).where(text(tables.IS_OPEN)).group_by(table.c.shop, table.c.owner)
    if shop:
        query = query.where(table.c.shop == shop)
    by_owner: dict[str, list[int]] = {}
    for owner, *counted in connection.execute(query):
        so_far = by_owner.get(owner, [0] * len(figures))
        by_owner[owner] = [one + more for one, more in zip(so_far, counted, strict=True)]
    found = [
        OwnerCount(owner, total, overdue, snoozed, day, week - day, total - week)
        for owner, (total, overdue, snoozed, day, week) in by_owner.items()
    ]
    return sorted(found, key=lambda each: (-each.total, each.owner))


def history(connection: Connection, found: OpenException) -> list[Happening]:
    """Return what happened to an exception and to its write, oldest first; a retry, told of both, once.

    Its openings and closings, what people did, the tries of its write, and the alerts that went out.
    """
    own = subject(found.exception_id)
    subjects = [own, *([found.intent_id] if found.intent_id else [])]
    table = tables.audit_log
    newest = (
        select(table)
        .where(table.c.subject.in_(subjects))  # by its own index; the shop's would be walked to its beginning
        .where(or_(table.c.event != RETRY, table.c.subject != found.intent_id))
        .order_by(table.c.position.desc())
        .limit(_EVENTS_MAX)
    )
    happened = [Happening.of(row) for row in reversed(connection.execute(newest).all())]
    if not any(each.event == OPENED for each in happened):  # opened before its history was kept
        facts: dict[str, Any] = {"type": found.type}
        happened.insert(0, Happening(found.first_opened_at, OPENED, own, found.lane, facts, found.shop))
    for at, channel, opening, stage in alerts.told(connection, found.exception_id):
        facts = {"opening": opening, "stage": stage.name.lower()}
        happened.append(Happening(at, "alerted", own, channel, facts, found.shop))
    return sorted(happened, key=lambda each: each.at)


def last_acts(connection: Connection, *, before: tuple[datetime, int, str] | None, limit: int) -> list[Happening]:
    """Return what people did, newest first, before an event (its instant, position and shop) where one is given."""
    table = tables.audit_log
    query = (
        select(table)
        # a retry is told of the exception and of its write: the former is what the person did
        .where(text(tables.BY_PEOPLE), table.c.subject.like("% %"))
        .order_by(table.c.at.desc(), table.c.position.desc(), table.c.shop.desc())
        .limit(limit)
    )
    if before is not None:
        here = tuple_(literal(before[0], Instant), literal(before[1]), literal(before[2]))
        query = query.where(tuple_(table.c.at, table.c.position, table.c.shop) < here)
    return [Happening.of(row) for row in connection.execute(query)]


def _conditions(wanted: QueueFilter, dialect: str, now: datetime) -> list[ColumnElement[bool]]:
    table = tables.exceptions
    said = wanted.text[:TEXT_CHARACTERS_MAX]
    found: list[ColumnElement[bool]] = [
        # Words are looked for by one walk over the table: by an index SQLite would fetch each row by itself, six times as slow.
        func.coalesce(column, "") == value if said else column == value
        for column, value in (
            (table.c.shop, wanted.shop),
            (table.c.owner, wanted.owner),
            (table.c.severity, wanted.severity),
            (table.c.type, wanted.type),
        )
        if value
    ]
    is_open: ColumnElement[bool] = table.c.resolved_at.is_(None)
    if said:
        is_open = case((is_open, 1), else_=0) == 1
    match wanted.shown:
        case Shown.RESOLVED:
            found.append(table.c.resolved_at.is_not(None))
        case Shown.SNOOZED:
            found += [is_open, table.c.snoozed_until > now]
        case Shown.DUE:
            found += [is_open, or_(table.c.snoozed_until.is_(None), table.c.snoozed_until <= now)]
    if said:
        found.append(_mentions(said, dialect))
    return found


def _mentions(said: str, dialect: str) -> ColumnElement[bool]:
    """Tell which exceptions have a text in their message or entity, in whatever case, or are of that number."""
    table = tables.exceptions
    places: list[ColumnElement[bool]] = [
        # SQLite's LIKE minds no case as it is
        column.contains(said, autoescape=True) if dialect == "sqlite" else column.icontains(said, autoescape=True)
        for column in (table.c.message, table.c.entity)
    ]
    if said.isascii() and said.isdigit() and len(said) < 19:
        places.append(table.c.exception_id == int(said))
    return or_(*places)
