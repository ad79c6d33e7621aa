"""What the pipeline remembers about its reading: how far each stream was read, which files were taken, which calls made.

Here live cursors, taken files and the log of calls. What must not live here: writes to the outside. The invariant: a cursor
never moves back unless told to, and a file is taken once by its content.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, case, delete, func, select, update

from marketplace_returns.ledger import tables
from marketplace_returns.ledger.connection import lock_shop, transaction
from marketplace_returns.sources.http import CallRecord
from marketplace_returns.sources.outcomes import Outcome

CALLS_BUFFERED_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class LakeMark:
    """One state of one lake: which it is, and the number of its newest snapshot."""

    lake_id: str
    version: int


@dataclass(frozen=True)
class Standing:
    """What a stream's cursor stands on: the state of a lake that has what was read up to ``watermark``."""

    shop: str
    lake: LakeMark
    watermark: datetime


class CallBuffer:
    """Keeps calls in memory and writes them to the log a few hundred at a time.

    What a killed process had not written yet is lost: this log counts calls, the proof of a write is in the history.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._calls: list[CallRecord] = []
        self._lock = threading.Lock()

    def add(self, call: CallRecord) -> None:
        """Keep a call; every few hundredth one writes them all."""
        with self._lock:
            self._calls.append(call)
            is_full = len(self._calls) >= CALLS_BUFFERED_MAX
        if is_full:
            self.flush()

    def flush(self) -> None:
        """Write what is kept."""
        with self._lock:
            calls, self._calls = self._calls, []
        if calls:
            with transaction(self._engine) as connection:
                connection.execute(tables.calls.insert(), [asdict(call) for call in calls])


def refused_operations(connection: Connection, shop: str) -> list[tuple[str, str, datetime]]:
    """Return (system, operation, when) of the operations whose last answer was that the key may not do this."""
    table = tables.calls
    answers = (
        select(table.c.system, table.c.operation, table.c.outcome, func.max(table.c.started_at).label("last_at"))
        .where(table.c.shop == shop, table.c.outcome.in_((Outcome.AUTH_FAILED.value, Outcome.ANSWERED.value)))
        .group_by(table.c.system, table.c.operation, table.c.outcome)
    )
    last: dict[tuple[str, str], tuple[datetime, str]] = {}
    for row in connection.execute(answers):
        key = (row.system, row.operation)
        last[key] = max(last.get(key, (row.last_at, row.outcome)), (row.last_at, row.outcome))
    return [(*key, at) for key, (at, outcome) in sorted(last.items()) if outcome == Outcome.AUTH_FAILED.value]


def calls_since(connection: Connection, shop: str, since: datetime) -> list[tuple[str, str, int, int]]:
    """Return (system, operation, calls, those told to wait) since an instant."""
    table = tables.calls
    told_to_wait = func.sum(case((table.c.outcome == Outcome.RATE_LIMITED.value, 1), else_=0))
    rows = connection.execute(
        select(table.c.system, table.c.operation, func.count(), told_to_wait)
        .where(table.c.started_at >= since, table.c.shop == shop)
        .group_by(table.c.system, table.c.operation)
        .order_by(table.c.system, table.c.operation)
    )
    return [(system, operation, int(calls), int(waited)) for system, operation, calls, waited in rows]


def forget_calls(connection: Connection, before: datetime) -> int:
    """Delete calls older than an instant from the log and return how many; the history of writes is never deleted (R113)."""
    return int(connection.execute(delete(tables.calls).where(tables.calls.c.started_at < before)).rowcount)


def cursor(connection: Connection, shop: str, stream: str) -> datetime | None:
    """Return up to when a stream was read, or None where it never was."""
    table = tables.cursors
    return connection.execute(
        select(table.c.watermark).where(table.c.shop == shop, table.c.stream == stream)
    ).scalar_one_or_none()


def set_cursor(
    connection: Connection, shop: str, stream: str, watermark: datetime, *, now: datetime, lake: LakeMark | None
) -> None:
    """Move a stream's cursor forward; an older watermark (a backfill, a slower worker) changes nothing.

    The same watermark says that the stream was read, and that nothing changed in it.
    """
    table = tables.cursors
    lock_shop(connection, shop, "cursors")
    known = cursor(connection, shop, stream)
    stands_on = {} if lake is None else {"lake_id": lake.lake_id, "lake_version": lake.version}
    facts = {"watermark": watermark, "updated_at": now, **stands_on}
    if known is None:
        connection.execute(table.insert().values(shop=shop, stream=stream, **facts))
    elif watermark >= known:
        connection.execute(
            update(table)
            .where(table.c.shop == shop, table.c.stream == stream, table.c.watermark <= watermark)
            .values(**facts)
        )


def standing(connection: Connection) -> list[Standing]:
    """Return what the cursors stand on."""
    columns = tables.cursors.c
    rows = connection.execute(
        select(columns.shop, columns.lake_id, columns.lake_version, columns.watermark).where(columns.lake_id != "")
    )
    return [Standing(row.shop, LakeMark(row.lake_id, row.lake_version), row.watermark) for row in rows]


def ahead_of(lake: LakeMark, cursors: Iterable[Standing]) -> dict[str, datetime]:
    """Return the shops that were read into another lake or a newer state of this one, and up to when."""
    found: dict[str, datetime] = {}
    for each in cursors:
        if each.lake.lake_id != lake.lake_id or each.lake.version > lake.version:
            found[each.shop] = max(each.watermark, found.get(each.shop, each.watermark))
    return found


def stand_on(connection: Connection, shop: str, lake: LakeMark) -> None:
    """Let every cursor of a shop stand on a lake that has what was read before them."""
    where = tables.cursors.c.shop == shop
    connection.execute(update(tables.cursors).where(where).values(lake_id=lake.lake_id, lake_version=lake.version))


def cursors(connection: Connection, shop: str) -> dict[str, tuple[datetime, datetime]]:
    """Return (watermark, when it was read up to there) by stream of a shop."""
    table = tables.cursors
    rows = connection.execute(select(table).where(table.c.shop == shop))
    return {row.stream: (row.watermark, row.updated_at) for row in rows}


def taken(connection: Connection, shop: str, system: str) -> frozenset[str]:
    """Return the content hashes of the extract files taken already."""
    table = tables.taken_files
    rows = connection.execute(select(table.c.content_hash).where(table.c.shop == shop, table.c.system == system))
    return frozenset(rows.scalars())


def take(connection: Connection, shop: str, system: str, files: Iterable[tuple[str, str]], now: datetime) -> int:
    """Remember (content hash, name) of files taken and return how many were new."""
    lock_shop(connection, shop, "files")
    known = taken(connection, shop, system)
    new = {content_hash: name for content_hash, name in files if content_hash not in known}
    if new:
        connection.execute(
            tables.taken_files.insert(),
            [
                {"shop": shop, "system": system, "content_hash": content_hash, "name": name, "taken_at": now}
                for content_hash, name in new.items()
            ],
        )
    return len(new)
