"""How often we may call.

Here lives the count of calls per shop and operation, shared by every process of an installation, and the pause that
a 429 imposes on all of them. What must not live here: the ceilings themselves (each system's package holds its own
table). The invariant: in no window does the number of counted calls exceed a ceiling, whoever makes them (R103).

A sliding log of call times per (shop, operation), kept only as long as the longest window. Known limiter libraries
keep one anonymous bucket per limit; none has a share reserved for urgent calls, a pause shared by processes, or our
clock.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import OperationalError

from marketplace_returns.clock import Clock, microseconds_of
from marketplace_returns.errors import LedgerBusy, RateLimited

WAIT_S_MAX = 75.0
TURNS_MAX = 64  # waits for one permission; each ends when a slot frees or a pause is over
BUSY_S_MAX = 30.0
BLOCK_SEEN_WITHIN_S = 1.0  # how late another process's pause may be seen by a call that has no ceiling

_PG_LOCK = sa.text("select pg_advisory_xact_lock(:key)")
_metadata = sa.MetaData()
_calls = sa.Table(
    "call_budget_calls",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("shop", sa.String(200), nullable=False),
    sa.Column("operation", sa.String(60), nullable=False),
    sa.Column("called_at_us", sa.BigInteger, nullable=False),
    sa.Column("is_urgent", sa.Boolean, nullable=False),
    sa.Index("call_budget_calls_by_time", "shop", "operation", "called_at_us"),
)
_pauses = sa.Table(
    "call_budget_pauses",
    _metadata,
    sa.Column("shop", sa.String(200), primary_key=True),
    sa.Column("operation", sa.String(60), primary_key=True),
    sa.Column("until_us", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``calls`` in any ``window_s`` seconds.

    ``reserved`` of them are kept for urgent calls and ``regular`` for the others (as many, where it is not given), so that
    neither kind starves the other. Spare calls, which only hurry what the next poll shows, leave where fewer than a quarter are used.
    """

    calls: int
    window_s: float
    reserved: int = 0
    regular: int | None = None

    def share(self, *, urgent: bool) -> int:
        """Return how many calls of one kind a window may have."""
        return self.calls - (self.reserved if not urgent or self.regular is None else self.regular)


class Budget(Protocol):
    """What is asked before every call."""

    def take(
        self,
        operation: str,
        *,
        urgent: bool = False,
        spare: bool = False,
        counted: bool = True,
        wait_s_max: float | None = None,
    ) -> None:
        """Return when the call may leave, having counted it; raises RateLimited when that is beyond the bound."""

    def give_back(self, operation: str) -> None:
        """Say that the call just taken got no answer; a ceiling of a single call is open again."""

    def block(self, operation: str, seconds: float) -> None:
        """Let no call of that operation leave for so long, in any process."""


class NoBudget:
    """No ceilings: for the sandbox on this machine and for tests."""

    def take(
        self,
        operation: str,
        *,
        urgent: bool = False,
        spare: bool = False,
        counted: bool = True,
        wait_s_max: float | None = None,
    ) -> None:
        """Allow the call."""

    def give_back(self, operation: str) -> None:
        """Do nothing."""

    def block(self, operation: str, seconds: float) -> None:
        """Forget the pause; the refused call itself carries it."""


class SingleCeiling:
    """A budget whose every operation counts as one and the same, for systems that count calls whatever they ask."""

    def __init__(self, budget: Budget, operation: str) -> None:
        self._budget = budget
        self._operation = operation

    def take(
        self,
        operation: str,
        *,
        urgent: bool = False,
        spare: bool = False,
        counted: bool = True,
        wait_s_max: float | None = None,
    ) -> None:
        """Return when the call may leave; raises RateLimited when that is beyond the bound."""
        del operation
        self._budget.take(self._operation, urgent=urgent, spare=spare, counted=counted, wait_s_max=wait_s_max)

    def give_back(self, operation: str) -> None:
        """Say that the call just taken got no answer."""
        del operation
        self._budget.give_back(self._operation)

    def block(self, operation: str, seconds: float) -> None:
        """Let no call leave for so long."""
        del operation
        self._budget.block(self._operation, seconds)


class SharedBudget:
    """The budget of one shop with one system, shared through a database by all processes that use it.

    ``database`` is a file path (SQLite) or a ``postgresql`` URL. ``ceilings`` maps an operation to the rates that
    must all hold; operations that are absent are only held back by a pause.
    """

    def __init__(
        self,
        database: Path | str,
        system: str,
        shop: str,
        ceilings: Mapping[str, tuple[Rate, ...]],
        clock: Clock,
        *,
        wait_s_max: float = WAIT_S_MAX,
    ) -> None:
        self._system = system
        self._shop = f"{shop}/{system}"
        self._ceilings = ceilings
        self._clock = clock
        self._wait_s_max = wait_s_max
        self._engine = _open(database)
        self._paused_until_us: dict[str, int] = {}
        self._pauses_read_at_us = -1

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def take(
        self,
        operation: str,
        *,
        urgent: bool = False,
        spare: bool = False,
        counted: bool = True,
        wait_s_max: float | None = None,
    ) -> None:
        """Wait for a free slot of the operation's ceilings and take it; raises RateLimited beyond the bound, LedgerBusy.

        ``counted=False`` marks a further page of a poll that is counted already: only a pause holds it back.
        """
        bound_s = self._wait_s_max if wait_s_max is None else wait_s_max
        rates = self._ceilings.get(operation, ()) if counted else ()
        waited_s = wait_s = 0.0
        for _ in range(TURNS_MAX):
            wait_s = (
                self._reserve(operation, rates, urgent=urgent, spare=spare) if rates else self._pause_left_s(operation)
            )
            if wait_s <= 0:
                return
            if waited_s + wait_s > bound_s:
                break
            self._clock.wait(wait_s)
            waited_s += wait_s
        raise RateLimited(
            f"{self._system} {operation} ({self._shop}): the call budget is used up; the next call may leave in {wait_s:.0f} s. "
            f"Nothing was sent.",
            system=self._system,
            operation=operation,
            retry_after_s=wait_s,
        )

    def give_back(self, operation: str) -> None:
        """Open a ceiling of a single call again after an attempt without an answer.

        Else a time-out would close a list that may be read once a day until tomorrow. Ceilings of more calls have
        room for a second attempt and keep the count, so that an outage never multiplies calls.
        """
        if all(rate.calls > 1 for rate in self._ceilings.get(operation, ())):
            return
        mine = (_calls.c.shop == self._shop, _calls.c.operation == operation)
        with self._alone(operation) as connection:
            latest = connection.execute(sa.select(sa.func.max(_calls.c.id)).where(*mine)).scalar_one_or_none()
            connection.execute(_calls.delete().where(*mine, _calls.c.id == latest))

    def block(self, operation: str, seconds: float) -> None:
        """Let no call of that operation leave for so long, in any process (429 with Retry-After, Mirakl facts G6)."""
        until_us = microseconds_of(self._clock.now() + timedelta(seconds=seconds))
        with self._alone(operation) as connection:
            known = connection.execute(
                sa.select(_pauses.c.until_us).where(_pauses.c.shop == self._shop, _pauses.c.operation == operation)
            ).scalar_one_or_none()
            if known is None:
                connection.execute(_pauses.insert().values(shop=self._shop, operation=operation, until_us=until_us))
            elif known < until_us:
                connection.execute(
                    _pauses.update()
                    .where(_pauses.c.shop == self._shop, _pauses.c.operation == operation)
                    .values(until_us=until_us)
                )
        self._pauses_read_at_us = -1

    def _reserve(self, operation: str, rates: tuple[Rate, ...], *, urgent: bool, spare: bool) -> float:
        """Take a slot and return 0, or return the seconds until one may be free."""
        longest_us = int(max(rate.window_s for rate in rates) * 1_000_000)
        mine = (_calls.c.shop == self._shop, _calls.c.operation == operation)
        with self._alone(operation) as connection:
            now_us = microseconds_of(self._clock.now())
            pause_us: int | None = connection.execute(
                sa.select(_pauses.c.until_us).where(_pauses.c.shop == self._shop, _pauses.c.operation == operation)
            ).scalar_one_or_none()
            if pause_us is not None and pause_us > now_us:
                return (pause_us - now_us) / 1_000_000
            connection.execute(_calls.delete().where(*mine, _calls.c.called_at_us <= now_us - longest_us))
            made = connection.execute(
                sa.select(_calls.c.called_at_us, _calls.c.is_urgent).where(*mine).order_by(_calls.c.called_at_us.desc())
            ).all()
            all_us = [row.called_at_us for row in made]
            alike_us = [row.called_at_us for row in made if row.is_urgent == urgent]
            wait_us = 0
            for rate in rates:
                window_us = int(rate.window_s * 1_000_000)
                together = rate.calls // 4 if spare else rate.calls
                for made_us, allowed in ((all_us, together), (alike_us, rate.share(urgent=urgent))):
                    # The call that must have left the window before this one fits; a clock set back only makes us wait.
                    if not allowed:
                        wait_us = max(wait_us, window_us)
                    elif len(made_us) >= allowed:
                        wait_us = max(wait_us, made_us[allowed - 1] + window_us - now_us)
            if wait_us <= 0:
                connection.execute(
                    _calls.insert().values(shop=self._shop, operation=operation, called_at_us=now_us, is_urgent=urgent)
                )
            return wait_us / 1_000_000

    def _pause_left_s(self, operation: str) -> float:
        """Return how long a call without a ceiling still has to wait; pauses are read at most once a second."""
        now_us = microseconds_of(self._clock.now())
        age_us = now_us - self._pauses_read_at_us
        if self._pauses_read_at_us < 0 or not 0 <= age_us < BLOCK_SEEN_WITHIN_S * 1_000_000:
            with self._engine.connect().execution_options(reads_only=True) as connection:
                rows = connection.execute(
                    sa.select(_pauses.c.operation, _pauses.c.until_us).where(
                        _pauses.c.shop == self._shop, _pauses.c.until_us > now_us
                    )
                ).all()
            self._paused_until_us = {row.operation: row.until_us for row in rows}
            self._pauses_read_at_us = now_us
        return max(0, self._paused_until_us.get(operation, 0) - now_us) / 1_000_000

    @contextmanager
    def _alone(self, operation: str) -> Iterator[sa.Connection]:
        """Open a transaction that no other process holds for this shop and operation; raises LedgerBusy."""
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(_PG_LOCK, {"key": zlib.crc32(f"{self._shop}/{operation}".encode())})
                yield connection
        except OperationalError as cause:
            raise LedgerBusy(
                f"the call budget of shop {self._shop} stayed locked for {BUSY_S_MAX:.0f} s. Nothing was sent; find the "
                f"process that holds its database."
            ) from cause


def _open(database: Path | str) -> sa.Engine:
    """Open the database and make the two tables where they are missing; raises LedgerBusy."""
    try:
        if isinstance(database, Path):
            database.parent.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(f"sqlite:///{database}", connect_args={"timeout": BUSY_S_MAX})
            sa.event.listen(engine, "connect", _prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_immediate)
            # Going over to WAL cannot wait for a lock by itself, so the openers go one by one.
            with FileLock(f"{database}.lock", timeout=BUSY_S_MAX), engine.begin() as connection:
                _metadata.create_all(connection)
        else:
            url = sa.make_url(database)
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg")  # the driver we install; which one is the default varies
            engine = sa.create_engine(url, pool_pre_ping=True)
            with engine.begin() as connection:
                connection.execute(_PG_LOCK, {"key": zlib.crc32(b"call_budget")})
                _metadata.create_all(connection)
    except (OperationalError, Timeout) as cause:
        raise LedgerBusy("the call budget's database could not be opened: check ledger_url and data_dir.") from cause
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event starts the transaction, not the driver
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")  # a power cut may lose the last calls, a crash of ours may not


def _begin_immediate(connection: sa.Connection) -> None:
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("begin" if reads_only else "begin immediate")
