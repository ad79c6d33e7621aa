"""What each channel was told of which exception, so that it hears each stage of each opening once.

Here: which stages a channel was not told of yet, which channel hears of whose, claiming before it is sent, and how a channel does. Not
here: when a severity is told (``marketplace_returns.alerts``), the sending. The invariants: a stage is claimed by one sender at a time,
and counts as told only once the channel took it. A sender that dies between the two leaves a claim that runs out, and the stage is told
again: an alert may come twice, it is never lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from marketplace_returns.ledger import tables
from marketplace_returns.ledger.catalogue import ALL, DEFAULT_RULE, HALF, MOST, WORSENS_TO, actions
from marketplace_returns.ledger.connection import chunks, lock_shop
from marketplace_returns.ledger.exceptions import CLEARED, fingerprint_of
from marketplace_returns.ledger.intents import decode

EVENTS_KEPT: Final = timedelta(days=7)
"""A failed job that a channel could not be told of for so long is no news any more."""

_EXCEPTION: Final = "exception"
_EVENT: Final = "event"
_SHOWN: Final = [
    "exception_id",
    "shop",
    "type",
    "entity",
    "severity",
    "owner",
    "playbook",
    "amount_minor",
    "currency",
    "opened_at",
    "due_at",
    "openings",
]


class Stage(IntEnum):
    """How far an exception was when a channel was told; a later stage says the earlier ones too."""

    OPENED = 0
    HALF = HALF
    MOST = MOST
    DUE = ALL
    ENDED = 200


@dataclass(frozen=True, slots=True)
class Takes:
    """Whose alerts a channel is set to take: empty sets take all."""

    owners: frozenset[str] = frozenset()
    severities: frozenset[str] = frozenset()
    shops: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a channel may be told now: ``told_from`` says from which stage on, by severity.

    ``channels`` says what every channel is set to take, ``owners`` who owns each type: an alert that none takes goes to others.
    """

    channel: str
    told_from: Mapping[str, Stage]
    channels: Mapping[str, Takes]
    owners: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Telling:
    """An exception a channel is to be told of. ``came_and_went``: it ended while the channel could not be told that it was open.

    ``became`` names the type of exception that it ended as (``catalogue.WORSENS_TO``); nothing where it was mended.
    """

    exception_id: int
    opening: int
    stage: Stage
    came_and_went: bool
    shop: str
    type: str
    entity: Mapping[str, str]
    severity: str
    owner: str
    playbook: str
    action: str
    amount_minor: int
    currency: str
    opened_at: datetime
    due_at: datetime
    became: str = ""


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something people hear of that is no exception: a job of a shop that failed, ``seen_count`` times that day."""

    event_id: int
    shop: str
    owner: str
    severity: str
    about: str
    seen_count: int
    first_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """All that a channel is to be told at once."""

    channel: str
    tellings: tuple[Telling, ...] = ()
    events: tuple[AlertEvent, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tellings or self.events)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel does: ``failures`` in a row since ``down_since``, tried again at ``retry_at``."""

    channel: str
    failures: int = 0
    down_since: datetime | None = None
    retry_at: datetime | None = None
    last_error: str = ""
    last_sent_at: datetime | None = None
    digest_on: date | None = None


def lane_of(channel: str) -> str:
    """Return who raises the exception of a channel that fails."""
    return f"alerts/{channel}"


def state(connection: Connection, channel: str) -> ChannelState:
    """Return how a channel does."""
    table = tables.alert_channels
    row = connection.execute(select(table).where(table.c.channel == channel)).mappings().first()
    return ChannelState(**row) if row is not None else ChannelState(channel)


def due(connection: Connection, wanted: Wanted, now: datetime) -> Batch:
    """Return what a channel was not told of yet and nobody is telling it now."""
    open_now = [_telling(row, Stage(row.stage), came_and_went=False) for row in connection.execute(_open(wanted, now))]
    rows = connection.execute(_ended(wanted, now)).all()
    worse = _became(connection, rows)
    ended = [
        _telling(row, Stage.ENDED, came_and_went=not row.was_told, became=worse.get(row.exception_id, ""))
        for row in rows
    ]
    events = [AlertEvent(**row) for row in connection.execute(_events(wanted, now)).mappings()]
    return Batch(wanted.channel, (*open_now, *ended), tuple(events))


def claim(connection: Connection, wanted: Wanted, *, worker: str, now: datetime, until: datetime) -> Batch:
    """Take what a channel is to be told, for one sender: nobody else tells it until the claim runs out."""
    lock_shop(connection, wanted.channel, "alerts")
    batch = due(connection, wanted, now)
    rows = [{**key, "claimed_by": worker, "claimed_until": until} for key in _keys(batch)]
    if rows:
        table = tables.alert_notices
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        insert = make(table)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=list(table.primary_key.columns),
                set_={"claimed_by": insert.excluded.claimed_by, "claimed_until": insert.excluded.claimed_until},
            ),
            rows,
        )
    return batch


def took(connection: Connection, batch: Batch, *, worker: str, now: datetime) -> None:
    """Keep that a channel took a batch; what it heard the end of is over. A stage it was not told of stays to be told.

    What another sender claimed meanwhile, because this one took too long, is that one's to keep: it is told twice.
    """
    lock_shop(connection, batch.channel, "alerts")
    table = tables.alert_notices
    mine = and_(table.c.channel == batch.channel, table.c.claimed_by == worker, ~table.c.is_over)
    connection.execute(
        update(table)
        .where(mine, table.c.claimed_until.is_not(None))
        .values(sent_at=now, claimed_until=None, is_over=table.c.kind == _EVENT)
    )
    if any(each.stage is Stage.ENDED for each in batch.tellings):
        end = table.alias("end_of_it")
        heard_the_end = exists().where(
            end.c.channel == table.c.channel,
            end.c.kind == table.c.kind,
            end.c.subject_id == table.c.subject_id,
            end.c.opening >= table.c.opening,
            end.c.stage == int(Stage.ENDED),
            end.c.claimed_by == worker,
            end.c.sent_at.is_not(None),
        )
        connection.execute(
            update(table)
            .where(table.c.channel == batch.channel, table.c.kind == _EXCEPTION, ~table.c.is_over, heard_the_end)
            .values(is_over=True)
        )
    _keep(connection, batch.channel, failures=0, down_since=None, retry_at=None, last_error="", last_sent_at=now)


def refused(
    connection: Connection, batch: Batch, *, worker: str, reason: str, now: datetime, retry_at: datetime
) -> ChannelState:
    """Keep that a channel did not take a batch: the claim is given up, all of it stays to be told."""
    lock_shop(connection, batch.channel, "alerts")
    table = tables.alert_notices
    connection.execute(
        update(table)
        .where(table.c.channel == batch.channel, table.c.claimed_by == worker, ~table.c.is_over)
        .values(claimed_until=None)
    )
    before = state(connection, batch.channel)
    _keep(
        connection,
        batch.channel,
        failures=before.failures + 1,
        down_since=before.down_since or now,
        retry_at=retry_at,
        last_error=reason,
    )
    return state(connection, batch.channel)


def had_digest(connection: Connection, channel: str, day: date, now: datetime) -> None:
    """Keep that a channel had its digest of a day, unless a sender is still at it: it may fail, or be dead."""
    lock_shop(connection, channel, "alerts")
    table = tables.alert_notices
    under_way = select(table.c.channel).where(table.c.channel == channel, ~table.c.is_over, table.c.claimed_until > now)
    if connection.execute(under_way.limit(1)).first() is None:
        _keep(connection, channel, digest_on=day)


def note_event(
    connection: Connection, key: str, *, shop: str, owner: str, severity: str, about: str, now: datetime
) -> None:
    """Keep something people are to hear of once; seen again it is counted."""
    lock_shop(connection, key, "alert_events")
    table = tables.alert_events
    seen = connection.execute(
        update(table).where(table.c.key == key).values(seen_count=table.c.seen_count + 1, last_at=now)
    )
    if not seen.rowcount:
        facts = {"shop": shop, "owner": owner, "severity": severity, "about": about}
        connection.execute(table.insert().values(key=key, first_at=now, last_at=now, **facts))


def told(connection: Connection, exception_id: int) -> list[tuple[datetime, str, int, Stage]]:
    """Return (when, channel, opening, stage) of what channels took of an exception, oldest first."""
    table = tables.alert_notices
    rows = connection.execute(
        select(table.c.sent_at, table.c.channel, table.c.opening, table.c.stage)
        .where(table.c.kind == _EXCEPTION, table.c.subject_id == exception_id, table.c.sent_at.is_not(None))
        .order_by(table.c.sent_at, table.c.channel, table.c.opening, table.c.stage)
    )
    return [(row.sent_at, row.channel, row.opening, Stage(row.stage)) for row in rows]


def _open(wanted: Wanted, now: datetime) -> Select[Any]:
    """Select the open exceptions of a channel at a stage that it was not told of; after a snooze they are told anew."""
    each, notice = tables.exceptions.c, tables.alert_notices.c
    stage = case(
        (each.due_at <= now, int(Stage.DUE)),
        (each.most_used_at <= now, int(Stage.MOST)),
        (each.half_used_at <= now, int(Stage.HALF)),
        else_=int(Stage.OPENED),
    )
    was_told = exists().where(
        notice.channel == wanted.channel,
        notice.kind == _EXCEPTION,
        notice.subject_id == each.exception_id,
        notice.opening == each.openings,
        notice.stage >= stage,
        notice.stage <= int(Stage.DUE),
        or_(
            and_(notice.sent_at.is_not(None), or_(each.snoozed_until.is_(None), notice.sent_at >= each.snoozed_until)),
            notice.claimed_until > now,
        ),
    )
    wished = or_(
        false(), *(and_(each.severity == name, stage >= int(first)) for name, first in wanted.told_from.items())
    )
    return (
        select(*(each[name] for name in _SHOWN), stage.label("stage"))
        .where(
            each.resolved_at.is_(None),
            or_(each.snoozed_until.is_(None), each.snoozed_until <= now),
            _heard_by(wanted, each, _catalogue_owner(wanted, each), each.lane),
            wished,
            ~was_told,
        )
        .order_by(each.due_at, each.exception_id)
    )


def _ended(wanted: Wanted, now: datetime) -> Select[Any]:
    """Select the exceptions that ended since a channel was told, or was to be told, that they are open; a snooze keeps no end back.

    One whose write waits to be tried again has not ended: it opens again, or is gone when the write is done.
    """
    each, notice = tables.exceptions.c, tables.alert_notices.c
    live = (
        select(
            notice.subject_id,
            func.max(case((notice.sent_at.is_not(None), 1), else_=0)).label("was_told"),
            func.max(notice.claimed_until).label("claimed_until"),
        )
        .where(notice.channel == wanted.channel, notice.kind == _EXCEPTION, ~notice.is_over)
        .group_by(notice.subject_id)
        .subquery()
    )
    return (
        select(*(each[name] for name in (*_SHOWN, "cause", "resolution", "resolved_at")), live.c.was_told)
        .join_from(live, tables.exceptions, each.exception_id == live.c.subject_id)
        .where(
            each.resolved_at.is_not(None),
            or_(each.cleared_at.is_not(None), each.resolution != CLEARED),
            or_(live.c.claimed_until.is_(None), live.c.claimed_until <= now),
            each.severity.in_(list(wanted.told_from)),
        )
        .order_by(each.exception_id)
    )


def _became(connection: Connection, ended: Sequence[Row[Any]]) -> dict[int, str]:
    """Return which of these ended, by their facts, as another exception that was open then, and the type of that one."""
    known = {
        fingerprint_of(row.shop, WORSENS_TO[row.type], decode(row.entity), row.cause): row
        for row in ended
        if row.type in WORSENS_TO and row.resolution == CLEARED
    }
    columns = tables.exceptions.c
    asked = select(columns.fingerprint, columns.type, columns.opened_at, columns.resolved_at)
    found: dict[int, str] = {}
    for keys in chunks(list(known)):
        for worse in connection.execute(asked.where(columns.fingerprint.in_(keys))):
            row = known[worse.fingerprint]
            if worse.opened_at <= row.resolved_at and (
                worse.resolved_at is None or worse.resolved_at > row.resolved_at
            ):
                found[row.exception_id] = worse.type
    return found


def _events(wanted: Wanted, now: datetime) -> Select[Any]:
    each, notice = tables.alert_events.c, tables.alert_notices.c
    was_told = exists().where(
        notice.channel == wanted.channel,
        notice.kind == _EVENT,
        notice.subject_id == each.event_id,
        or_(notice.sent_at.is_not(None), notice.claimed_until > now),
    )
    names = ("event_id", "shop", "owner", "severity", "about", "seen_count", "first_at")
    return (
        select(*(each[name] for name in names))
        .where(
            each.first_at > now - EVENTS_KEPT,
            each.severity.in_(list(wanted.told_from)),
            _heard_by(wanted, each, each.owner),
            ~was_told,
        )
        .order_by(each.event_id)
    )


def _heard_by(
    wanted: Wanted, each: Any, also_owner: ColumnElement[str], lane: ColumnElement[str] | None = None
) -> ColumnElement[bool]:
    """Say whose alerts a channel hears: what it takes, and what no channel takes.

    What no channel takes goes to every one that takes its severity and shop, and where there is none, to every channel: an alert
    that reaches nobody is the one thing worse than one too many.
    """

    def among(column: ColumnElement[str], names: frozenset[str]) -> ColumnElement[bool]:
        return column.in_(sorted(names)) if names else true()

    works, hears, takes = {}, {}, {}
    for name, its in wanted.channels.items():
        # nobody is told of a broken channel over itself
        works[name] = true() if lane is None else lane != lane_of(name)
        hears[name] = and_(works[name], among(each.severity, its.severities), among(each.shop, its.shops))
        takes[name] = and_(hears[name], or_(among(each.owner, its.owners), among(also_owner, its.owners)))
    me = wanted.channel
    return or_(
        takes[me],
        and_(~or_(*takes.values()), hears[me]),
        and_(~or_(*hears.values()), works[me]),
    )


def _catalogue_owner(wanted: Wanted, each: Any) -> ColumnElement[str]:
    """Say who looks after an exception besides its owner: the type's own, where it was given to somebody the catalogue does not know."""
    of_type = case(wanted.owners, value=each.type, else_=DEFAULT_RULE.owner)
    return case((each.owner.in_(sorted({*wanted.owners.values(), DEFAULT_RULE.owner})), each.owner), else_=of_type)


def _keys(batch: Batch) -> Sequence[dict[str, Any]]:
    return [
        {
            "channel": batch.channel,
            "kind": _EXCEPTION,
            "subject_id": each.exception_id,
            "opening": each.opening,
            "stage": int(each.stage),
        }
        for each in batch.tellings
    ] + [
        {"channel": batch.channel, "kind": _EVENT, "subject_id": each.event_id, "opening": 1, "stage": 0}
        for each in batch.events
    ]


def _telling(row: Any, stage: Stage, *, came_and_went: bool, became: str = "") -> Telling:
    facts = {name: getattr(row, name) for name in _SHOWN if name not in {"entity", "openings"}}
    return Telling(
        **facts,
        entity=decode(row.entity),
        opening=row.openings,
        stage=stage,
        came_and_went=came_and_went,
        became=became,
        action=actions().get(row.type, ""),
    )


def _keep(connection: Connection, channel: str, **facts: Any) -> None:
    table = tables.alert_channels
    if not connection.execute(update(table).where(table.c.channel == channel).values(**facts)).rowcount:
        connection.execute(table.insert().values(channel=channel, **facts))
