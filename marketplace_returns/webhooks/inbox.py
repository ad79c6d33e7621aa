"""The inbox: events kept until what they point at was read again.

Here: keeping, handing out, settling and forgetting events, and which subscriptions stand. Not here: reading a request
(``events``) or an outside system. The invariants: what ``keep`` returned from survives the loss of power; an event is
settled only as it was handed out, so that one that came again meanwhile stays waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from sqlalchemy import Engine, bindparam, case, delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from marketplace_returns.ledger.connection import Migrations, open_engine, transaction
from marketplace_returns.webhooks.tables import VERSION_TABLE, events, subscriptions

if TYPE_CHECKING:
    from marketplace_returns.webhooks.events import Event

FILE_NAME: Final = "webhooks.db"
MIGRATIONS: Final = Migrations(Path(__file__).parent / "migrations", "webhooks_0001", VERSION_TABLE)
RETRY_START_S: Final = 30
RETRY_S_MAX: Final = 900
_DOUBLINGS_MAX: Final = 10


class Drained(StrEnum):
    """How an event ended: its object was read again, its source knows no such object, or nothing is read for it."""

    READ = "READ"
    GONE = "GONE"
    UNUSED = "UNUSED"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event whose object is to be read again; ``object_id`` is empty where the event named none."""

    event_id: int
    source: str
    event_type: str
    object_id: str
    received_at: datetime
    deliveries: int
    attempt_count: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription of ours at a source; ``subscription_id`` is empty where its answer was never seen."""

    shop: str
    source: str
    event_type: str
    address_hash: str
    subscription_id: str


class InboxSettings(Protocol):
    """The settings the inbox needs; ``settings.Settings`` has them."""

    @property
    def data_dir(self) -> Path:
        """Folder of the SQLite file."""

    @property
    def ledger_url(self) -> str:
        """Empty for SQLite, or the ``postgresql://`` URL of the database the inbox shares with the ledger."""


class Inbox:
    """The events of one installation. Make one with ``Inbox.open``; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keep = _upsert(engine)

    @classmethod
    def open(cls, settings: InboxSettings) -> Self:
        """Open the inbox, migrated to the newest form, creating it where it is not there yet; raises LedgerBusy."""
        return cls(open_engine(settings.data_dir, settings.ledger_url, file_name=FILE_NAME, migrations=MIGRATIONS))

    @staticmethod
    def is_there(settings: InboxSettings) -> bool:
        """Tell whether webhooks were ever received here: without the file there is nothing to look for."""
        return bool(settings.ledger_url) or (settings.data_dir / FILE_NAME).exists()

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    # -- receiving ----------------------------------------------------------------------------------------------------

    def keep(self, received: Sequence[Event]) -> None:
        """Keep events in one transaction, durable when this returns; one that is known counts a further delivery.

        A known event that has no id of its own and was drained waits again: the same may have happened once more.
        """
        rows = [
            {
                "shop": event.shop,
                "source": event.source,
                "event_key": event.event_key,
                "has_own_id": event.has_own_id,
                "event_type": event.event_type,
                "object_id": event.object_id,
                "received_at": event.received_at,
                "next_try_at": event.received_at,
            }
            # one order in every process, so that two never wait for each other's rows
            for event in sorted(received, key=lambda event: (event.shop, event.source, event.event_key))
        ]
        if rows:
            with transaction(self._engine) as connection:
                connection.execute(self._keep, rows)

    def ping(self) -> None:
        """Ask the database anything; raises what it raises."""
        with transaction(self._engine, is_reading=True) as connection:
            connection.execute(text("SELECT 1"))

    # -- draining -----------------------------------------------------------------------------------------------------

    def waiting(self, shop: str, now: datetime, *, limit: int) -> list[Waiting]:
        """Return the events of a shop that are due to be looked after, oldest first."""
        columns = [events.c[name] for name in Waiting.__slots__]
        query = (
            select(*columns)
            .where(events.c.shop == shop, events.c.drained_at.is_(None), events.c.next_try_at <= now)
            .order_by(events.c.next_try_at, events.c.event_id)
            .limit(limit)
        )
        with transaction(self._engine, is_reading=True) as connection:
            return [Waiting(*row) for row in connection.execute(query)]

    def count(self, shop: str, *, is_drained: bool | None = None) -> int:
        """Return how many events of a shop there are: all, those that wait, or those that are drained."""
        query = select(func.count()).select_from(events).where(events.c.shop == shop)
        if is_drained is not None:
            query = query.where(events.c.drained_at.is_not(None) if is_drained else events.c.drained_at.is_(None))
        with transaction(self._engine, is_reading=True) as connection:
            return int(connection.execute(query).scalar_one())

    def due(self, shop: str, now: datetime) -> tuple[int, int, int] | None:
        """Return (how many, newest, attempts so far) of the events that are due, by one indexed query; None where none is."""
        query = select(
            func.count(), func.max(events.c.event_id), func.sum(events.c.deliveries + events.c.attempt_count)
        )
        query = query.where(events.c.shop == shop, events.c.drained_at.is_(None), events.c.next_try_at <= now)
        with transaction(self._engine, is_reading=True) as connection:
            count, newest, tries = connection.execute(query).one()
        return (int(count), int(newest), int(tries)) if count else None

    def settle(self, drained: Iterable[Waiting], outcome: Drained, now: datetime) -> None:
        """Mark events drained, but for those that were delivered again since they were handed out."""
        rows = [{"settled_id": event.event_id, "seen": event.deliveries} for event in drained]
        statement = (
            update(events)
            .where(events.c.event_id == bindparam("settled_id"), events.c.deliveries == bindparam("seen"))
            .values(drained_at=now, outcome=str(outcome))
        )
        if rows:
            with transaction(self._engine) as connection:
                connection.execute(statement, rows)

    def postpone(self, failed: Iterable[Waiting], now: datetime) -> None:
        """Let events wait for their next try: after 30 s, then twice as long each time, at most 15 minutes."""
        rows = [
            {
                "postponed_id": event.event_id,
                "tries": event.attempt_count + 1,
                "at": now
                + timedelta(seconds=min(RETRY_S_MAX, RETRY_START_S << min(event.attempt_count, _DOUBLINGS_MAX))),
            }
            for event in failed
        ]
        statement = (
            update(events)
            .where(events.c.event_id == bindparam("postponed_id"))
            .values(attempt_count=bindparam("tries"), next_try_at=bindparam("at"))
        )
        if rows:
            with transaction(self._engine) as connection:
                connection.execute(statement, rows)

    def forget(self, before: datetime) -> int:
        """Delete events drained before an instant and return how many; what they led to is in the lake."""
        with transaction(self._engine) as connection:
            return int(connection.execute(delete(events).where(events.c.drained_at < before)).rowcount)

    # -- subscriptions ------------------------------------------------------------------------------------------------

    def subscriptions(self, shop: str, source: str) -> dict[str, Subscription]:
        """Return our subscriptions at a source by type of event."""
        columns = [subscriptions.c[name] for name in Subscription.__slots__]
        query = select(*columns).where(subscriptions.c.shop == shop, subscriptions.c.source == source)
        with transaction(self._engine, is_reading=True) as connection:
            found = [Subscription(*row) for row in connection.execute(query)]
        return {each.event_type: each for each in found}

    def remember(self, subscription: Subscription, now: datetime) -> None:
        """Keep a subscription, in place of one for the same event."""
        key = {name: getattr(subscription, name) for name in ("shop", "source", "event_type")}
        with transaction(self._engine) as connection:
            connection.execute(delete(subscriptions).filter_by(**key))
            connection.execute(
                subscriptions.insert().values(
                    **key,
                    address_hash=subscription.address_hash,
                    subscription_id=subscription.subscription_id,
                    subscribed_at=now,
                )
            )


def _upsert(engine: Engine) -> Any:
    """Return the statement that keeps one event, in the words of the database at hand."""
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(events)
    came_again = (events.c.drained_at.is_not(None)) & (events.c.has_own_id.is_(False))
    given = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["shop", "source", "event_key"],
        set_={
            "deliveries": events.c.deliveries + 1,
            "received_at": case((came_again, given.received_at), else_=events.c.received_at),
            "next_try_at": case((came_again, given.next_try_at), else_=events.c.next_try_at),
            "attempt_count": case((came_again, 0), else_=events.c.attempt_count),
            "drained_at": case((came_again, None), else_=events.c.drained_at),
        },
    )
