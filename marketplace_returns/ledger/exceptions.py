"""What people must look at: one row per cause, with an owner, a clock and the money at risk.

Here lives how exceptions open, repeat, close, and what people do with them. What must not live here: deciding that something
is wrong (lanes and ``alarms.py`` do). The invariant: at most one open exception per fingerprint (shop, type, entity, cause),
however often it is seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from marketplace_returns.errors import BadArgument
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger import tables
from marketplace_returns.ledger.connection import lock_shop
from marketplace_returns.ledger.intents import decode, encode
from marketplace_returns.mappings import ExceptionRule, Severity

CLEARED: Final = "cleared by facts"
_KEYS_PER_QUERY: Final = 500
_DEFAULT: Final = ExceptionRule(
    type="*", owner="operations", severity=Severity.HIGH, sla_hours=24, playbook="docs/playbooks.md"
)


@dataclass(frozen=True, slots=True)
class OpenException:
    """One exception as people see it. ``amount_minor`` is the money at risk; resolved where ``resolved_at`` is set."""

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
    opened_at: datetime
    last_seen_at: datetime
    due_at: datetime
    snoozed_until: datetime | None
    resolved_at: datetime | None
    resolution: str


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


def fingerprint(each: ExceptionPlan) -> str:
    """Return what makes two sightings the same exception."""
    entity = "\n".join(f"{name}={each.entity[name]}" for name in sorted(each.entity))
    return hashlib.sha256(f"{each.shop}\n{each.type}\n{entity}\n{each.cause}".encode()).hexdigest()[:24]


def raise_all(
    connection: Connection, raised: Iterable[Raised], rules: Mapping[str, ExceptionRule], now: datetime
) -> int:
    """Open the exceptions that are new and count the others once more; return how many opened.

    A person's owner and snooze stay; the message, the money and the newest evidence follow the facts.
    """
    by_print = {fingerprint(each.plan): each for each in raised}
    if not by_print:
        return 0
    lock_shop(connection, next(iter(by_print.values())).plan.shop, "exceptions")
    known = _open_ids(connection, list(by_print))
    new = [_row(key, each, rules, now) for key, each in by_print.items() if key not in known]
    if new:
        connection.execute(tables.exceptions.insert(), new)
    seen = [_sighting(known[key], each) for key, each in by_print.items() if key in known]
    if seen:
        table = tables.exceptions
        connection.execute(
            update(table)
            .where(table.c.exception_id == bindparam("key"))
            .values(
                seen_count=table.c.seen_count + 1,
                last_seen_at=now,
                message=bindparam("new_message"),
                evidence=bindparam("new_evidence"),
                amount_minor=bindparam("new_amount_minor"),
                root_cause=bindparam("new_root_cause"),
            ),
            seen,
        )
    return len(new)


def follow_lane(
    connection: Connection,
    shop: str,
    lane: str,
    plans: Sequence[ExceptionPlan],
    *,
    rules: Mapping[str, ExceptionRule],
    now: datetime,
) -> Changed:
    """Make a lane's open exceptions exactly those it names now."""
    opened = raise_all(connection, (Raised(each, lane) for each in plans), rules, now)
    wanted = {fingerprint(each) for each in plans}
    table = tables.exceptions
    rows = connection.execute(
        select(table.c.exception_id, table.c.fingerprint).where(
            table.c.shop == shop, table.c.lane == lane, table.c.intent_id == "", table.c.resolved_at.is_(None)
        )
    )
    gone = [row.exception_id for row in rows if row.fingerprint not in wanted]
    _close(connection, gone, CLEARED, now)
    return Changed(opened=opened, closed=len(gone))


def follow_intents(
    connection: Connection,
    intent_ids: Sequence[str],
    raised: Sequence[Raised],
    rules: Mapping[str, ExceptionRule],
    now: datetime,
) -> Changed:
    """Make the open exceptions of these writes exactly those given: what a write no longer has is closed."""
    opened = raise_all(connection, raised, rules, now)
    wanted = {fingerprint(each.plan) for each in raised}
    table = tables.exceptions
    gone: list[int] = []
    for start in range(0, len(intent_ids), _KEYS_PER_QUERY):
        rows = connection.execute(
            select(table.c.exception_id, table.c.fingerprint).where(
                table.c.intent_id.in_(intent_ids[start : start + _KEYS_PER_QUERY]), table.c.resolved_at.is_(None)
            )
        )
        gone += [row.exception_id for row in rows if row.fingerprint not in wanted]
    _close(connection, gone, CLEARED, now)
    return Changed(opened=opened, closed=len(gone))


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
    limit: int | None = None,
) -> list[OpenException]:
    """Return exceptions that fit all that is given, most urgent clock first. ``is_open=None`` gives both."""
    table = tables.exceptions
    query = select(table).order_by(table.c.due_at, table.c.exception_id)
    for column, value in ((table.c.shop, shop), (table.c.owner, owner), (table.c.exception_id, exception_id)):
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


def act(connection: Connection, exception_id: int, **changes: Any) -> OpenException:
    """Do what a person decided with an open exception (assign, snooze, resolve, retry).

    Raises:
        BadArgument: there is no such exception, or it is resolved already.
    """
    found = find(connection, exception_id=exception_id, is_open=None)
    if not found:
        raise BadArgument(f"There is no exception {exception_id}; list them with `exceptions list`.")
    if found[0].resolved_at is not None:
        raise BadArgument(
            f"Exception {exception_id} was resolved at {found[0].resolved_at:%Y-%m-%d %H:%M} UTC already."
        )
    if changes:
        table = tables.exceptions
        connection.execute(update(table).where(table.c.exception_id == exception_id).values(**changes))
    return find(connection, exception_id=exception_id, is_open=None)[0]


def _open_ids(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    table = tables.exceptions
    found: dict[str, int] = {}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        rows = connection.execute(
            select(table.c.fingerprint, table.c.exception_id).where(
                table.c.fingerprint.in_(keys[start : start + _KEYS_PER_QUERY]), table.c.resolved_at.is_(None)
            )
        )
        found |= {row.fingerprint: row.exception_id for row in rows}
    return found


def _row(key: str, raised: Raised, rules: Mapping[str, ExceptionRule], now: datetime) -> dict[str, Any]:
    each = raised.plan
    rule = rules.get(each.type, _DEFAULT)
    return {
        "fingerprint": key,
        "shop": each.shop,
        "type": each.type,
        "lane": raised.lane,
        "intent_id": raised.intent_id,
        "entity": encode(each.entity),
        "cause": each.cause,
        "message": each.message,
        "evidence": encode(each.evidence),
        "root_cause": each.root_cause,
        "severity": each.severity or str(rule.severity),
        "owner": rule.owner,
        "playbook": rule.playbook,
        "amount_minor": each.amount_minor,
        "currency": each.currency,
        "opened_at": now,
        "last_seen_at": now,
        "due_at": each.due_at or now + timedelta(hours=rule.sla_hours),
    }


def _sighting(exception_id: int, raised: Raised) -> dict[str, Any]:
    each = raised.plan
    return {
        "key": exception_id,
        "new_message": each.message,
        "new_evidence": encode(each.evidence),
        "new_amount_minor": each.amount_minor,
        "new_root_cause": each.root_cause,
    }


def _close(connection: Connection, exception_ids: Sequence[int], resolution: str, now: datetime) -> None:
    table = tables.exceptions
    for start in range(0, len(exception_ids), _KEYS_PER_QUERY):
        connection.execute(
            update(table)
            .where(table.c.exception_id.in_(exception_ids[start : start + _KEYS_PER_QUERY]))
            .values(resolved_at=now, resolution=resolution)
        )


def from_row(row: RowMapping) -> OpenException:
    """Make an exception of a row of the table."""
    values: dict[str, Any] = {**row}
    values["entity"], values["evidence"] = decode(row["entity"]), decode(row["evidence"])
    return OpenException(**values)
