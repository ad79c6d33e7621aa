"""What people must look at: one row per cause, with an owner, a clock and the money at risk.

Here lives how exceptions open, repeat, close, open again, and what people do with them. What must not live here: deciding that
something is wrong (lanes and ``alarms.py`` do). The invariants: one exception per fingerprint (shop, type, entity, cause), however
often it is seen and however often it comes back; each opening and closing is an event of the history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, bindparam, or_, select, update

from marketplace_returns.errors import BadArgument
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger import tables
from marketplace_returns.ledger.audit import Event, Journal
from marketplace_returns.ledger.catalogue import ALL, HALF, MOST, Catalogue, actions
from marketplace_returns.ledger.connection import chunks, lock_shop
from marketplace_returns.ledger.intents import decode, encode

CLEARED: Final = "cleared by facts"
HANDED_ON: Final = "handed_on"
"""The name in ``evidence`` of what a later lane of the same row will name too, for as long as it is so."""
OPENED: Final = "opened"
OPENED_AGAIN: Final = "opened again"
HAPPENED: Final = "happened"
"""The name in ``evidence`` of what happened, where that is the cause and cannot un-happen."""
_TEXTS_PER_QUERY: Final = 100
_NAMED_MAX: Final = 20
_FOLLOWS: Final = ("message", "evidence", "amount_minor", "currency", "root_cause", "severity")
_CLOSING: Final = tuple(
    tables.exceptions.c[name]
    for name in ("exception_id", "fingerprint", "shop", "type", "lane", "openings", "intent_id", "resolved_at")
)


@dataclass(frozen=True, slots=True)
class OpenException:
    """One exception as people see it. ``amount_minor`` is the money at risk; resolved where ``resolved_at`` is set.

    ``opened_at`` is when its clock began; it opened for the ``openings``-th time. ``cleared_at`` is since when its facts are gone, and
    nothing while they are there, though a person resolved it. ``action`` is the next step.
    """

    exception_id: int
    fingerprint: str
    shop: str
    type: str
    lane: str
    intent_id: str
    entity: dict[str, str]
    cause: str
    message: str
    evidence: dict[str, Any]
    root_cause: str
    severity: str
    owner: str
    playbook: str
    amount_minor: int
    currency: str
    seen_count: int
    openings: int
    first_opened_at: datetime
    opened_at: datetime
    last_seen_at: datetime
    half_used_at: datetime
    most_used_at: datetime
    due_at: datetime
    snoozed_until: datetime | None
    resolved_at: datetime | None
    resolution: str
    was_closed_by_hand: bool
    cleared_at: datetime | None
    action: str

    @property
    def resolved_by(self) -> str:
        """Who resolved it by hand, as in ``resolution`` (``by <name>: <reason>``); empty where nobody did."""
        name, _, reason = self.resolution.removeprefix("by ").partition(": ")
        return name if reason and self.was_closed_by_hand and self.resolved_at is not None else ""

    def clock_used(self, now: datetime) -> int:
        """Return how much of the clock is used by now, in the steps people are told of: 0, 50, 80 or 100 percent."""
        steps = ((self.due_at, ALL), (self.most_used_at, MOST), (self.half_used_at, HALF))
        return next((percent for instant, percent in steps if now >= instant), 0)

    def is_snoozed(self, now: datetime) -> bool:
        """Whether it is quiet now; a snooze ends by itself."""
        return self.snoozed_until is not None and now < self.snoozed_until


@dataclass(frozen=True, slots=True)
class Changed:
    """How many exceptions opened and closed."""

    opened: int = 0
    closed: int = 0


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception plan with where it came from: the lane, and the write it belongs to, if any."""

    plan: ExceptionPlan
    lane: str
    intent_id: str = ""


def subject(exception_id: int) -> str:
    """Return what the history calls an exception."""
    return f"exception {exception_id}"


def fingerprint(each: ExceptionPlan) -> str:
    """Return what makes two sightings the same exception."""
    return fingerprint_of(each.shop, each.type, each.entity, each.cause)


def fingerprint_of(shop: str, exception_type: str, about: Mapping[str, str], cause: str) -> str:
    """Return the fingerprint of an exception of a shop by its type, entity and cause."""
    entity = "\n".join(f"{name}={about[name]}" for name in sorted(about))
    return hashlib.sha256(f"{shop}\n{exception_type}\n{entity}\n{cause}".encode()).hexdigest()[:24]


def raise_all(connection: Connection, raised: Iterable[Raised], catalogue: Catalogue, journal: Journal) -> int:
    """Open the exceptions that are new, open those again whose fact returned, count the others once more; return how many opened.

    A person's owner stays, and a snooze while it is open; the message, the money, the severity and the newest evidence follow the facts.
    One that opens again is the same exception with one opening more, and it is not quiet any more for what a person knew of the time
    before. Its clock starts anew where its facts were gone; where a person closed it and they were not, the clock goes on. What a
    person resolved and is an event of the past stays resolved while its facts are the same (``ExceptionPlan.happened``).
    """
    by_print = {fingerprint(each.plan): each for each in raised}
    if not by_print:
        return 0
    lock_shop(connection, next(iter(by_print.values())).plan.shop, "exceptions")
    table = tables.exceptions
    known = _open_ids(connection, list(by_print))
    closed = _closed(connection, [key for key in by_print if key not in known])
    unknown = [
        key
        for key, each in by_print.items()
        if key not in known and not (key in closed and _is_settled(closed[key], each.plan))
    ]
    again = [_again(closed[key], by_print[key], catalogue, journal.now) for key in unknown if key in closed]
    if again:
        opening: dict[str, Any] = {
            name: bindparam(f"new_{name}")
            for name in ("lane", "intent_id", "opened_at", "half_used_at", "most_used_at", "due_at", *_FOLLOWS)
        }
        connection.execute(
            update(table)
            .where(table.c.exception_id == bindparam("key"))
            .values(
                **opening,
                openings=table.c.openings + 1,
                seen_count=table.c.seen_count + 1,
                last_seen_at=journal.now,
                snoozed_until=None,
                resolved_at=None,
                cleared_at=None,
                resolution="",
            ),
            again,
        )
    new = [_row(key, by_print[key], catalogue, journal.now) for key in unknown if key not in closed]
    if new:
        connection.execute(table.insert(), new)
    seen = [_sighting(known[key], each, catalogue) for key, each in by_print.items() if key in known]
    if seen:
        connection.execute(
            update(table)
            .where(table.c.exception_id == bindparam("key"))
            .values(
                seen_count=table.c.seen_count + 1,
                last_seen_at=journal.now,
                **{name: bindparam(f"new_{name}") for name in _FOLLOWS},
            ),
            seen,
        )
    _tell_opened(connection, unknown, journal)
    return len(unknown)


def follow_lane(
    connection: Connection,
    shop: str,
    lane: str,
    plans: Sequence[ExceptionPlan],
    *,
    catalogue: Catalogue,
    journal: Journal,
) -> Changed:
    """Make a lane's open exceptions exactly those it names now.

    A lane that is one of a row (``month_end:2026-11``) ends what earlier ones of the row handed on (``HANDED_ON``) and it does not name.
    """
    opened = raise_all(connection, (Raised(each, lane) for each in plans), catalogue, journal)
    wanted = {fingerprint(each) for each in plans}
    table = tables.exceptions
    rows = connection.execute(
        select(*_CLOSING).where(
            table.c.shop == shop, table.c.lane == lane, table.c.intent_id == "", table.c.cleared_at.is_(None)
        )
    )
    gone = [row for row in rows if row.fingerprint not in wanted]
    row_of_lanes, _, place = lane.rpartition(":")
    if row_of_lanes and place:
        earlier = connection.execute(
            select(*_CLOSING, table.c.evidence).where(
                table.c.shop == shop,
                table.c.lane.startswith(f"{row_of_lanes}:", autoescape=True),
                table.c.lane < lane,
                table.c.intent_id == "",
                table.c.cleared_at.is_(None),
            )
        )
        gone += [row for row in earlier if row.fingerprint not in wanted and decode(row.evidence).get(HANDED_ON)]
    return Changed(opened=opened, closed=_close(connection, gone, journal))


def follow_intents(
    connection: Connection,
    intent_ids: Sequence[str],
    raised: Sequence[Raised],
    catalogue: Catalogue,
    journal: Journal,
    *,
    waiting: Collection[str] = (),
) -> Changed:
    """Make the open exceptions of these writes exactly those given: what a write no longer has is closed.

    Those of ``waiting`` are to be tried again: what they had is closed, and not gone until they are done.
    """
    opened = raise_all(connection, raised, catalogue, journal)
    wanted = {fingerprint(each.plan) for each in raised}
    table = tables.exceptions
    gone: list[Row[Any]] = []
    for keys in chunks(intent_ids):
        rows = connection.execute(select(*_CLOSING).where(table.c.intent_id.in_(keys), table.c.cleared_at.is_(None)))
        gone += [row for row in rows if row.fingerprint not in wanted]
    return Changed(opened=opened, closed=_close(connection, gone, journal, waiting=waiting))


def find(
    connection: Connection,
    *,
    shop: str | None = None,
    types: Collection[str] | None = None,
    owner: str | None = None,
    severities: Collection[str] | None = None,
    is_open: bool | None = True,
    exception_id: int | None = None,
    order_id: str | None = None,
    lane: str | None = None,
    limit: int | None = None,
) -> list[OpenException]:
    """Return exceptions that fit all that is given, most urgent clock first. ``is_open=None`` gives both."""
    table = tables.exceptions
    query = select(table).order_by(table.c.due_at, table.c.exception_id)
    wanted = ((table.c.shop, shop), (table.c.owner, owner), (table.c.exception_id, exception_id), (table.c.lane, lane))
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    for column, values in ((table.c.type, types), (table.c.severity, severities)):
        if values is not None:
            query = query.where(column.in_(list(values)))
    if order_id is not None:
        query = query.where(table.c.entity.contains(encode({"order_id": order_id})[1:-1], autoescape=True))
    if is_open is not None:
        query = query.where(table.c.resolved_at.is_(None) if is_open else table.c.resolved_at.is_not(None))
    if limit is not None:
        query = query.limit(limit)
    return [from_row(row) for row in connection.execute(query).mappings()]


def of_order(
    connection: Connection, shop: str, order_id: str, numbers: Mapping[str, Collection[str]]
) -> list[OpenException]:
    """Return the exceptions of an order, the open ones first: of its writes, and those whose entity names it or a part of it.

    ``numbers`` are the ids of the order's parts by their names in an entity; those that its writes know are added.
    """
    parts = ("order_line_id", "return_id", "return_unit_id")
    writes = tables.intents.c
    known = connection.execute(
        select(writes.intent_id, *(writes[name] for name in parts)).where(
            writes.shop == shop, writes.order_id == order_id
        )
    ).all()
    intent_ids = {row.intent_id for row in known}
    named = {name: set(ids) for name, ids in numbers.items()}
    for row in known:
        for name in parts:
            if row._mapping[name]:
                named.setdefault(name, set()).add(row._mapping[name])
    table = tables.exceptions
    # The order's own id counts under any name: an entity may hold it as the key of a write.
    texts = [encode({"": order_id})[len('{"":') : -1]]
    texts += sorted(encode({name: number})[1:-1] for name, ids in named.items() for number in ids)
    conditions: list[ColumnElement[bool]] = [table.c.intent_id.in_(keys) for keys in chunks(sorted(intent_ids))]
    conditions += [
        or_(*(table.c.entity.contains(text, autoescape=True) for text in some))
        for some in chunks(texts, _TEXTS_PER_QUERY)
    ]
    found: dict[int, OpenException] = {}
    for condition in conditions:
        for each in map(from_row, connection.execute(select(table).where(table.c.shop == shop, condition)).mappings()):
            # Looked at again: SQLite takes o1 for O1 where it looks into a text.
            is_named = order_id in each.entity.values() or any(
                number in named.get(name, ()) for name, number in each.entity.items()
            )
            if is_named or each.intent_id in intent_ids:
                found[each.exception_id] = each
    return sorted(found.values(), key=lambda each: (each.resolved_at is not None, each.due_at, each.exception_id))


def closed_by_hand(connection: Connection, shop: str, lane: str) -> list[OpenException]:
    """Return what lanes whose names begin so have found and a person has closed, with a reason, for as long as that holds."""
    table = tables.exceptions
    query = select(table).where(
        table.c.shop == shop,
        table.c.lane.startswith(lane, autoescape=True),
        table.c.was_closed_by_hand,
        table.c.resolved_at.is_not(None),
        table.c.resolution != CLEARED,
    )
    return [from_row(row) for row in connection.execute(query.order_by(table.c.exception_id)).mappings()]


def act(connection: Connection, exception_ids: Sequence[int], **changes: Any) -> list[OpenException]:
    """Do what a person decided with open exceptions (assign, snooze, resolve, retry): with all of them or with none.

    Raises:
        BadArgument: there is no such exception, or one is resolved already.
    """
    table = tables.exceptions
    wanted = list(dict.fromkeys(exception_ids))
    found: dict[int, OpenException] = {}
    for keys in chunks(wanted):
        rows = connection.execute(select(table).where(table.c.exception_id.in_(keys))).mappings()
        found |= {row["exception_id"]: from_row(row) for row in rows}
    missing = [str(key) for key in wanted if key not in found]
    if missing:
        raise BadArgument(f"There is no exception {', '.join(missing[:_NAMED_MAX])}; list them with `exceptions list`.")
    for each in found.values():
        if each.resolved_at is not None:
            raise BadArgument(
                f"Exception {each.exception_id} was resolved at {each.resolved_at:%Y-%m-%d %H:%M} UTC already."
            )
    if changes:
        for keys in chunks(wanted):
            still_open = table.c.exception_id.in_(keys) & table.c.resolved_at.is_(None)
            done = connection.execute(update(table).where(still_open).values(**changes))
            if done.rowcount != len(keys):  # on Postgres the facts may close one between the look and this
                raise BadArgument("One of these exceptions was resolved just now: list them again.")
    return [replace(found[key], **changes) for key in wanted]


def _open_ids(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    table = tables.exceptions
    found: dict[str, int] = {}
    for some in chunks(keys):
        rows = connection.execute(
            select(table.c.fingerprint, table.c.exception_id).where(
                table.c.fingerprint.in_(some), table.c.resolved_at.is_(None)
            )
        )
        found |= {row.fingerprint: row.exception_id for row in rows}
    return found


def _closed(connection: Connection, keys: Sequence[str]) -> dict[str, Row[Any]]:
    """Return the newest row of each cause that was there before; an older form kept a row for each opening."""
    columns = tables.exceptions.c
    looked_at = (
        *(columns.exception_id, columns.fingerprint, columns.resolution, columns.evidence),
        *(columns.opened_at, columns.cleared_at),
    )
    found: dict[str, Row[Any]] = {}
    for some in chunks(keys):
        rows = connection.execute(
            select(*looked_at, columns.amount_minor, columns.currency)
            .where(columns.fingerprint.in_(some))
            .order_by(columns.exception_id)
        )
        found |= {row.fingerprint: row for row in rows}
    return found


def _is_settled(closed: Row[Any], plan: ExceptionPlan) -> bool:
    """Whether a person resolved it, and it is what happened then, unchanged."""
    return (
        plan.happened != ""
        and closed.resolution != CLEARED
        and decode(closed.evidence).get(HAPPENED) == plan.happened
        and (closed.amount_minor, closed.currency) == (plan.amount_minor, plan.currency)
    )


def _evidence(plan: ExceptionPlan) -> str:
    return encode({**plan.evidence, HAPPENED: plan.happened} if plan.happened else plan.evidence)


def _row(key: str, raised: Raised, catalogue: Catalogue, now: datetime) -> dict[str, Any]:
    each = raised.plan
    rule = catalogue.rule(each.type)
    deadline = catalogue.deadline(each, now)
    return {
        "fingerprint": key,
        "shop": each.shop,
        "type": each.type,
        "lane": raised.lane,
        "intent_id": raised.intent_id,
        "entity": encode(each.entity),
        "cause": each.cause,
        "message": each.message,
        "evidence": _evidence(each),
        "root_cause": each.root_cause,
        "severity": each.severity or str(rule.severity),
        "owner": rule.owner,
        "playbook": rule.playbook,
        "amount_minor": each.amount_minor,
        "currency": each.currency,
        "first_opened_at": now,
        "opened_at": now,
        "last_seen_at": now,
        "half_used_at": deadline.half_used_at,
        "most_used_at": deadline.most_used_at,
        "due_at": deadline.due_at,
    }


def _again(closed: Row[Any], raised: Raised, catalogue: Catalogue, now: datetime) -> dict[str, Any]:
    began = now if closed.cleared_at is not None else closed.opened_at
    deadline = catalogue.deadline(raised.plan, began)
    return _sighting(closed.exception_id, raised, catalogue) | {
        "new_lane": raised.lane,
        "new_intent_id": raised.intent_id,
        "new_opened_at": began,
        "new_half_used_at": deadline.half_used_at,
        "new_most_used_at": deadline.most_used_at,
        "new_due_at": deadline.due_at,
    }


def _sighting(exception_id: int, raised: Raised, catalogue: Catalogue) -> dict[str, Any]:
    each = raised.plan
    return {
        "key": exception_id,
        "new_message": each.message,
        "new_evidence": _evidence(each),
        "new_amount_minor": each.amount_minor,
        "new_currency": each.currency,
        "new_root_cause": each.root_cause,
        "new_severity": each.severity or str(catalogue.rule(each.type).severity),
    }


def _tell_opened(connection: Connection, keys: Sequence[str], journal: Journal) -> None:
    """Put into the history what opened, and for the how manieth time."""
    table = tables.exceptions
    for some in chunks(keys):
        rows = connection.execute(
            select(table)
            .where(table.c.fingerprint.in_(some), table.c.resolved_at.is_(None))
            .order_by(table.c.exception_id)
        )
        for row in rows:
            facts = {
                "type": row.type,
                "opening": row.openings,
                "owner": row.owner,
                "severity": row.severity,
                "due_at": row.due_at,
                "amount_minor": row.amount_minor,
                "currency": row.currency,
            }
            name = OPENED if row.openings == 1 else OPENED_AGAIN
            journal.add(Event(row.shop, name, subject(row.exception_id), row.lane, facts))


def _close(connection: Connection, gone: Sequence[Row[Any]], journal: Journal, *, waiting: Collection[str] = ()) -> int:
    """Close what is open of these, note of all but those of writes that wait that their facts are gone; return how many were open."""
    table = tables.exceptions
    still_open = [row for row in gone if row.resolved_at is None]
    for keys in chunks([row.exception_id for row in still_open]):
        connection.execute(
            update(table).where(table.c.exception_id.in_(keys)).values(resolved_at=journal.now, resolution=CLEARED)
        )
    for keys in chunks([row.exception_id for row in gone if row.intent_id not in waiting]):
        connection.execute(update(table).where(table.c.exception_id.in_(keys)).values(cleared_at=journal.now))
    for row in still_open:
        facts = {"type": row.type, "opening": row.openings}
        journal.add(Event(row.shop, "cleared", subject(row.exception_id), row.lane, facts))
    return len(still_open)


def from_row(row: RowMapping) -> OpenException:
    """Make an exception of a row of the table."""
    values: dict[str, Any] = {**row, "action": actions().get(row["type"], "")}
    values["entity"], values["evidence"] = decode(row["entity"]), decode(row["evidence"])
    return OpenException(**values)
