"""The queue and the history as people read them: a page at a time, however long they are.

Here: filters, pages by key, counts, one exception's timeline, what people did last. Not here: any change. The invariant: a page costs
the same wherever it is in the queue: it begins at the key where the one before ended, and never counts what it skips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, or_, select, text, tuple_

from marketplace_returns.ledger import tables
from marketplace_returns.ledger.exceptions import OpenException, from_row
from marketplace_returns.ledger.intents import decode
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
class Wanted:
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


@dataclass(frozen=True, slots=True)
class Told:
    """One event of the history as people read it."""

    shop: str
    position: int
    at: datetime
    event: str
    subject: str
    actor: str
    facts: dict[str, Any]


def page(connection: Connection, wanted: Wanted, place: Place | None, *, limit: int, now: datetime) -> QueuePage:
    """Return one page of exceptions, open ones most urgent clock first, resolved ones newest first."""
    table = tables.exceptions
    is_back = place is not None and place.is_before
    is_newest_first = wanted.shown is Shown.RESOLVED
    at = table.c.resolved_at if is_newest_first else table.c.due_at
    query: Select[Any] = select(table).where(*_conditions(wanted, now))
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
    """Return the open exceptions by owner, those with most first."""
    table = tables.exceptions
    is_snoozed = and_(table.c.snoozed_until.is_not(None), table.c.snoozed_until > now)
    query = (
        select(
            table.c.owner,
            func.count().label("total"),
            _sum(table.c.due_at < now),
            _sum(is_snoozed),
            _sum(table.c.opened_at > now - _DAY),
            _sum(and_(table.c.opened_at <= now - _DAY, table.c.opened_at > now - _WEEK)),
            _sum(table.c.opened_at <= now - _WEEK),
        )
        .where(text(tables.IS_OPEN))
        .group_by(table.c.owner)
    )
    if shop:
        query = query.where(table.c.shop == shop)
    found = [OwnerCount(*row) for row in connection.execute(query)]
    return sorted(found, key=lambda each: (-each.total, each.owner))


def timeline(connection: Connection, found: OpenException) -> list[Told]:
    """Return what the history tells of an exception and of its write, oldest first."""
    subjects = [f"exception {found.exception_id}", *([found.intent_id] if found.intent_id else [])]
    table = tables.audit_log
    newest = (
        select(table)
        .where(table.c.subject.in_(subjects), table.c.shop == found.shop)
        .order_by(table.c.position.desc())
        .limit(_EVENTS_MAX)
    )
    return [_told(row) for row in reversed(connection.execute(newest).all())]


def last_acts(connection: Connection, *, before: tuple[datetime, int, str] | None, limit: int) -> list[Told]:
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
    return [_told(row) for row in connection.execute(query)]


def _conditions(wanted: Wanted, now: datetime) -> Sequence[ColumnElement[bool]]:
    table = tables.exceptions
    found: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (table.c.shop, wanted.shop),
            (table.c.owner, wanted.owner),
            (table.c.severity, wanted.severity),
            (table.c.type, wanted.type),
        )
        if value
    ]
    match wanted.shown:
        case Shown.RESOLVED:
            found.append(table.c.resolved_at.is_not(None))
        case Shown.SNOOZED:
            found += [table.c.resolved_at.is_(None), table.c.snoozed_until > now]
        case Shown.DUE:
            found += [table.c.resolved_at.is_(None), or_(table.c.snoozed_until.is_(None), table.c.snoozed_until <= now)]
    said = wanted.text[:TEXT_CHARACTERS_MAX]
    if said:
        places: list[ColumnElement[bool]] = [
            column.icontains(said, autoescape=True) for column in (table.c.message, table.c.entity, table.c.cause)
        ]
        if said.isascii() and said.isdigit() and len(said) < 19:
            places.append(table.c.exception_id == int(said))
        found.append(or_(*places))
    return found


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _told(row: Any) -> Told:
    return Told(row.shop, row.position, row.at, row.event, row.subject, row.actor, decode(row.facts))
