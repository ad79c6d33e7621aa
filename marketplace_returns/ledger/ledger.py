"""The ledger's face: one object that owns the database and offers each thing as one transaction.

Here lives where transactions begin and end. What must not live here: rules; they are in the modules this one calls. The
invariant: every method is one transaction, so that what it returns is committed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import pyarrow as pa
from sqlalchemy import Connection, Engine, Select, case, select

from marketplace_returns.clock import Clock
from marketplace_returns.errors import BadArgument
from marketplace_returns.lanes.plan import ExceptionPlan, LaneDecision
from marketplace_returns.ledger import (
    alerts,
    assignments,
    audit,
    checks,
    erasing,
    exceptions,
    holding,
    intents,
    queue,
    records,
    restores,
    steps,
    tables,
)
from marketplace_returns.ledger import periods as period_states
from marketplace_returns.ledger.alerts import Batch, ChannelState, Wanted
from marketplace_returns.ledger.audit import Chain, Event, Happening, Journal
from marketplace_returns.ledger.catalogue import Catalogue
from marketplace_returns.ledger.connection import chunks, empty_log, lock_shop, open_engine, transaction
from marketplace_returns.ledger.erasing import Redacted
from marketplace_returns.ledger.exceptions import Changed, OpenException, Raised
from marketplace_returns.ledger.holding import Held
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import Outcome, Preparation, ReadBack
from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.ledger.queue import OwnerCount, Place, QueueFilter, QueuePage
from marketplace_returns.ledger.records import LakeMark
from marketplace_returns.ledger.restores import Restore
from marketplace_returns.ledger.states import DONE, SPENT, State
from marketplace_returns.ledger.steps import Step
from marketplace_returns.periods import Month
from marketplace_returns.settings import Shop, Timing, WriteKind, WriteMode
from marketplace_returns.sources.http import ANSWER_S_FACTOR, CallRecord

BUDGET_WAIT_S: Final = 75.0
"""The longest that a write may wait for the call budget before it leaves."""
ARROW_ROWS: Final = 50_000

INTENT_COLUMNS: Final = pa.schema(
    [
        ("intent_id", pa.string()),
        ("shop", pa.string()),
        ("kind", pa.string()),
        ("natural_key", pa.string()),
        ("lane", pa.string()),
        ("state", pa.string()),
        ("order_id", pa.string()),
        ("order_line_id", pa.string()),
        ("return_id", pa.string()),
        ("return_unit_id", pa.string()),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("external_ref", pa.string()),
        ("is_adopted", pa.bool_()),
        ("attempt_count", pa.int64()),
        ("body", pa.string()),
        ("evidence", pa.string()),
        ("planned_at", pa.timestamp("us", tz="UTC")),
        ("sent_at", pa.timestamp("us", tz="UTC")),
        ("confirmed_at", pa.timestamp("us", tz="UTC")),
        ("reflected_at", pa.timestamp("us", tz="UTC")),
        ("settled_at", pa.timestamp("us", tz="UTC")),
        ("not_before", pa.timestamp("us", tz="UTC")),
        ("updated_at", pa.timestamp("us", tz="UTC")),
        ("root_cause", pa.string()),
        ("last_error", pa.string()),
    ]
)
"""The columns of ``intents_arrow``; times in UTC, ``amount_minor`` in minor units of ``currency``."""

EXCEPTION_COLUMNS: Final = pa.schema(
    [
        ("exception_id", pa.int64()),
        ("shop", pa.string()),
        ("type", pa.string()),
        ("lane", pa.string()),
        ("intent_id", pa.string()),
        ("entity", pa.string()),
        ("cause", pa.string()),
        ("message", pa.string()),
        ("root_cause", pa.string()),
        ("severity", pa.string()),
        ("owner", pa.string()),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("seen_count", pa.int64()),
        ("opened_at", pa.timestamp("us", tz="UTC")),
        ("due_at", pa.timestamp("us", tz="UTC")),
        ("resolved_at", pa.timestamp("us", tz="UTC")),
        ("resolution", pa.string()),
        ("was_closed_by_hand", pa.bool_()),
    ]
)
"""The columns of ``exceptions_arrow``; ``entity`` is JSON, times in UTC, ``amount_minor`` in minor units of ``currency``."""


class LedgerSettings(Protocol):
    """The settings the ledger needs; ``settings.Settings`` has them."""

    @property
    def data_dir(self) -> Path:
        """Folder of the SQLite file."""

    @property
    def mappings_dir(self) -> Path:
        """Folder whose ``exceptions.csv`` says who owns which exception."""

    @property
    def ledger_url(self) -> str:
        """Empty for SQLite, or a ``postgresql://`` URL."""

    @property
    def shops(self) -> Mapping[str, Shop]:
        """The shops by name, whose working hours the exceptions' clocks run in."""

    @property
    def timing(self) -> Timing:
        """Time-outs and the read-back schedule."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a lane's decision changed in the ledger."""

    new_intents: int
    known_intents: int
    superseded: int
    opened: int
    closed: int


class Ledger:
    """The intents, exceptions, cursors and periods of one installation. Make one with ``Ledger.open``.

    Safe to share between threads; every process opens its own.
    """

    def __init__(self, engine: Engine, clock: Clock, timing: Timing, catalogue: Catalogue) -> None:
        self.clock = clock
        self.timing = timing
        self._engine = engine
        self._catalogue = catalogue
        self._calls = records.CallBuffer(engine)

    @classmethod
    def open(cls, settings: LedgerSettings, clock: Clock) -> Self:
        """Open the ledger, migrated to the newest form under a lock.

        Raises:
            LedgerBusy: another process holds it beyond the bound.
            BadMapping: ``exceptions.csv`` is wrong.
        """
        catalogue = Catalogue.load(settings.mappings_dir, settings.shops)
        engine = open_engine(settings.data_dir, settings.ledger_url)
        return cls(engine, clock, settings.timing, catalogue)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the last calls to the log and close the database."""
        self._calls.flush()
        self._engine.dispose()

    @property
    def call_s_max(self) -> float:
        """The longest that one call may take from its start to its end, waiting for the budget included."""
        return self.timing.connect_time_out_s + ANSWER_S_FACTOR * self.timing.read_time_out_s + BUDGET_WAIT_S

    @property
    def lease_s(self) -> float:
        """How long a worker holds a batch: after this, what it was sending is unclear. A batch starts no call later than half of it."""
        return 2 * self.call_s_max

    # -- plans --------------------------------------------------------------------------------------------------------

    def apply(self, decision: LaneDecision, shop: Shop) -> Applied:
        """Take over what a lane wants now: its writes become intents, its exceptions the open ones of that lane.

        Unsent intents of the lane that it no longer names are superseded, and so are exceptions closed. Raises BadArgument
        where the decision is of another shop.
        """
        if decision.shop != shop.name:
            raise BadArgument(
                f"Lane {decision.lane} decided for shop {decision.shop!r}, but shop {shop.name!r} was given."
            )
        with self._change() as (connection, journal):
            now = journal.now
            planned = intents.plan(connection, decision, shop, now)
            for name, rows in (("planned", planned.new), ("replanned", planned.changed)):
                for row in rows:
                    facts = audit.planned_facts(row)
                    journal.add(Event(shop.name, name, row["intent_id"], decision.lane, facts))
            for key in planned.superseded:
                journal.add(Event(shop.name, "superseded", key, decision.lane, {"state": State.SUPERSEDED}))
            gone = (*planned.superseded, *planned.replanned)
            cleared = exceptions.follow_intents(connection, gone, (), self._catalogue, journal)
            changed = exceptions.follow_lane(
                connection, shop.name, decision.lane, decision.exceptions, catalogue=self._catalogue, journal=journal
            )
        return Applied(
            new_intents=len(planned.new),
            known_intents=planned.known,
            superseded=len(planned.superseded),
            opened=changed.opened,
            closed=changed.closed + cleared.closed,
        )

    def intents(
        self,
        *,
        shop: str | None = None,
        kinds: Collection[WriteKind] | None = None,
        states: Collection[State] | None = None,
        order_id: str | None = None,
        order_line_ids: Collection[str] | None = None,
        return_id: str | None = None,
        intent_ids: Collection[str] | None = None,
        limit: int | None = None,
    ) -> list[Intent]:
        """Return the intents that fit all that is given, oldest first."""
        with transaction(self._engine, is_reading=True) as connection:
            return intents.find(
                connection,
                shop=shop,
                kinds=kinds,
                states=states,
                order_id=order_id,
                order_line_ids=order_line_ids,
                return_id=return_id,
                intent_ids=intent_ids,
                limit=limit,
            )

    def spent_refunds(self, shop: str, order_line_ids: Collection[str]) -> list[Intent]:
        """Return the refunds of these lines that count as spent: confirmed, on their way or unclear (I7)."""
        return self.intents(shop=shop, kinds=(WriteKind.REFUND,), states=SPENT, order_line_ids=order_line_ids)

    def platform_links(self, shops: Collection[str]) -> list[dict[str, str]]:
        """Return shop, return_id and platform_return_id of the platform returns that our confirmed writes made, oldest first."""
        with transaction(self._engine, is_reading=True) as connection:
            return intents.platform_links(connection, shops)

    def is_confirmed_after(self, shop: str, kind: WriteKind, at: datetime) -> bool:
        """Tell whether a write of a kind was confirmed after an instant."""
        with transaction(self._engine, is_reading=True) as connection:
            return intents.is_confirmed_after(connection, shop, kind, at)

    def unclear_pushes(self, shop: str) -> list[Intent]:
        """Return the stock pushes of a shop that are on their way or unclear."""
        return self.intents(shop=shop, kinds=(WriteKind.PUSH_STOCK,), states=(State.SENDING, State.UNKNOWN))

    def intents_arrow(self, shop: str) -> pa.Table:
        """Return every intent of a shop as an Arrow table with ``INTENT_COLUMNS``, for monitoring.

        Body and evidence, which are most of an intent, are those of stock pushes, which monitoring reads; of others ``{}``.
        """
        table, of_stock = tables.intents, tables.intents.c.kind == WriteKind.PUSH_STOCK
        columns = [
            case((of_stock, table.c[name]), else_="{}").label(name) if name in {"body", "evidence"} else table.c[name]
            for name in INTENT_COLUMNS.names
        ]
        query = select(*columns).where(table.c.shop == shop)
        return pa.Table.from_batches(self._batches(query, INTENT_COLUMNS), INTENT_COLUMNS)

    def intent_batches(self, shop: str, columns: pa.Schema, kinds: Collection[WriteKind]) -> Iterator[pa.RecordBatch]:
        """Return the intents of some kinds of a shop, in no order, ``ARROW_ROWS`` at a time: a large shop has tens of millions.

        ``columns`` are some of ``INTENT_COLUMNS``.
        """
        table = tables.intents
        query = select(*(table.c[name] for name in columns.names)).where(table.c.shop == shop, table.c.kind.in_(kinds))
        return self._batches(query, columns)

    def exceptions_arrow(self, shop: str) -> pa.Table:
        """Return every exception of a shop, resolved ones too, as an Arrow table with ``EXCEPTION_COLUMNS``."""
        table = tables.exceptions
        query = select(*(table.c[name] for name in EXCEPTION_COLUMNS.names)).where(table.c.shop == shop)
        ordered = query.order_by(table.c.exception_id)
        return pa.Table.from_batches(self._batches(ordered, EXCEPTION_COLUMNS), EXCEPTION_COLUMNS)

    def lately(self, shop: str, since: datetime) -> tuple[pa.Table, pa.Table]:
        """Return the intents of a shop that are not through or were confirmed since an instant, and the exceptions of those.

        Columns as ``intents_arrow`` and ``exceptions_arrow``, without body and evidence.
        """
        table, cases = tables.intents, tables.exceptions
        schema = pa.schema([field for field in INTENT_COLUMNS if field.name not in ("body", "evidence")])
        on_its_way = [state for state in State if state not in (*DONE, State.SUPERSEDED, State.SHADOWED)]
        picked = select(*(table.c[name] for name in schema.names)).where(table.c.shop == shop)
        with transaction(self._engine, is_reading=True) as connection:
            rows = list(
                connection.execute(picked.where(table.c.kind.in_(list(WriteKind)), table.c.state.in_(on_its_way)))
            )
            rows += connection.execute(picked.where(table.c.confirmed_at >= since, table.c.state.in_(list(DONE))))
            of_writes = select(*(cases.c[name] for name in EXCEPTION_COLUMNS.names))
            excepted: list[Any] = []
            for keys in chunks([row.intent_id for row in rows]):
                excepted += connection.execute(of_writes.where(cases.c.intent_id.in_(keys)))
        return _as_arrow(rows, schema), _as_arrow(excepted, EXCEPTION_COLUMNS)

    def _batches(self, query: Select[Any], columns: pa.Schema) -> Iterator[pa.RecordBatch]:
        with transaction(self._engine, is_reading=True) as connection:
            found = connection.execution_options(yield_per=ARROW_ROWS).execute(query)
            for rows in found.partitions():
                yield from _as_arrow(rows, columns).to_batches()

    def intent_counts(self, shop: str | None = None) -> dict[tuple[WriteKind, State], int]:
        """Return how many intents there are by kind and state."""
        with transaction(self._engine, is_reading=True) as connection:
            return intents.counts(connection, shop)

    def attempts(self, intent_ids: Sequence[str]) -> list[dict[str, object]]:
        """Return every attempt of these intents, in order (see ``audit.attempts``)."""
        with transaction(self._engine, is_reading=True) as connection:
            return audit.attempts(connection, intent_ids)

    def verify_history(self, shop: str | None = None) -> list[Chain]:
        """Prove the history of one shop, or of all that have one: see ``audit.verify``."""
        with transaction(self._engine, is_reading=True) as connection:
            audit.freeze(connection)
            found = audit.shops(connection) if shop is None else [shop]
            return [audit.verify(connection, each) for each in found]

    def history_ends(self) -> dict[str, tuple[int, str]]:
        """Return by shop how many events its history has, and the hash of the last."""
        with transaction(self._engine, is_reading=True) as connection:
            return {row.shop: (row.position, row.hash) for row in connection.execute(select(tables.audit_heads))}

    def has_due(self, shop: Shop) -> bool:
        """Tell by one indexed query whether a shop has live writes to send, or any to read back, now (for sensors)."""
        live = [kind for kind in WriteKind if shop.write_mode(kind) is WriteMode.LIVE]
        with transaction(self._engine, is_reading=True) as connection:
            return intents.has_due(connection, shop.name, live, self.clock.now())

    # -- writes on their way (called by dispatch) ---------------------------------------------------------------------

    def recover(self) -> int:
        """Make writes UNKNOWN whose worker did not come back within its lease; return how many (crash recovery)."""
        with self._change() as (connection, journal):
            now = journal.now
            left = intents.abandoned(connection, now)
            taken = [
                steps.unclear(each, f"worker {each.lease_owner} did not come back", now, self.timing) for each in left
            ]
            self._save(connection, taken, journal)
            for each, step in zip(left, taken, strict=True):
                facts = {"attempt": each.attempt_count, "outcome": "UNKNOWN", "text": "no outcome was recorded"}
                journal.of_intent(audit.LEFT, step.intent, each.lease_owner, **facts)
        return len(left)

    def claim(self, shop: str, kind: WriteKind, *, worker: str, limit: int) -> list[Intent]:
        """Lease due intents of a kind to a worker for ``lease_s``, most urgent first; at most one refund an order."""
        with self._change() as (connection, journal):
            now = journal.now
            until = now + timedelta(seconds=self.lease_s)
            claimed = intents.claim(connection, shop, kind, worker=worker, until=until, now=now, limit=limit)
            if kind is WriteKind.PUSH_STOCK:
                claimed, older = intents.supersede_older_values(connection, claimed, now)
                for each in older:
                    journal.of_intent("superseded", each, worker)
        return claimed

    def begin(self, prepared: Mapping[str, Preparation], *, worker: str) -> tuple[list[Intent], list[Intent]]:
        """Commit what the pre-read said: SENDING(n) with its baseline for those that may leave, before the first byte.

        Returns (those to send, those that are not sent). An intent that lost its lease meanwhile is in neither.
        """
        with self._change() as (connection, journal):
            now = journal.now
            held = intents.load(connection, list(prepared))
            taken = [
                steps.after_prepare(each, prepared[key], now)
                for key, each in held.items()
                if each.state is State.PLANNED and each.lease_owner == worker and (each.lease_until or now) > now
            ]
            self._save(connection, taken, journal)
            for step in taken:
                each, facts = step.intent, audit.told_before(prepared[step.intent.intent_id])
                if each.state is State.SENDING:
                    journal.of_intent(audit.SENDING, each, worker, attempt=each.attempt_count, **facts)
                else:
                    journal.of_intent("looked", each, worker, **facts)
            leaving = [step.intent for step in taken if step.intent.state is State.SENDING]
        return leaving, [step.intent for step in taken if step.intent.state is not State.SENDING]

    def finish(self, sent: Sequence[Intent], outcomes: Mapping[str, Outcome]) -> list[Intent]:
        """Commit what came of writes that left.

        Every answer is kept in the history, however late. One that comes after the write was given up is taken where the
        write still waits for it; one that says a write was made, where the ledger has gone another way, opens an exception.
        """
        with self._change() as (connection, journal):
            now = journal.now
            held = intents.load(connection, [each.intent_id for each in sent])
            taken: list[Step] = []
            late: list[ExceptionPlan] = []
            for each in sent:
                stands, outcome = held[each.intent_id], outcomes[each.intent_id]
                facts = {"attempt": each.attempt_count, **audit.told_after(outcome)}
                if stands.attempt_count == each.attempt_count and steps.is_awaited(stands, outcome):
                    taken.append(steps.after_send(stands, outcome, now, self.timing))
                    stands = taken[-1].intent
                else:
                    facts["late"] = True
                    late += steps.told_too_late(stands, outcome, each.attempt_count)
                journal.of_intent(audit.ANSWERED, stands, each.lease_owner, **facts)
            self._save(connection, taken, journal)
            # Not as exceptions of the write: its next step would close them.
            exceptions.raise_all(connection, (Raised(each, "late_answers") for each in late), self._catalogue, journal)
        return [step.intent for step in taken]

    def read_backs_due(self, shop: str, kind: WriteKind, *, worker: str, limit: int) -> list[Intent]:
        """Lease unclear writes whose time to be read back has come."""
        now = self.clock.now()
        with transaction(self._engine) as connection:
            found = intents.read_backs_due(connection, shop, kind, now, limit)
            until = now + timedelta(seconds=self.lease_s)
            intents.lease(connection, [each.intent_id for each in found], worker=worker, until=until)
        return found

    def settle_read_backs(self, looked: Sequence[Intent], seen: Mapping[str, ReadBack | str]) -> list[Intent]:
        """Commit what read-backs of these intents, as they were leased, saw; a text says why one could not be made.

        What another worker settled, read back or sent meanwhile stays as it is: an old look proves nothing of a newer try.
        """
        read_as = {each.intent_id: (each.attempt_count, each.read_back_count) for each in looked}
        with self._change() as (connection, journal):
            now = journal.now
            held = intents.load(connection, list(read_as))
            taken: list[Step] = []
            for key, each in held.items():
                if each.state is not State.UNKNOWN or (each.attempt_count, each.read_back_count) != read_as[key]:
                    continue
                what = seen[key]
                if isinstance(what, str):
                    taken.append(steps.after_failed_read_back(each, what, now, self.timing))
                else:
                    taken.append(steps.after_read_back(each, what, now, self.timing))
                journal.of_intent("read_back", taken[-1].intent, each.lease_owner, **audit.told_back(what))
            self._save(connection, taken, journal)
        return [step.intent for step in taken]

    def mark_seen(self, intent_ids: Collection[str], state: State) -> int:
        """Move CONFIRMED intents to REFLECTED, or REFLECTED ones to SETTLED; return how many moved."""
        with self._change() as (connection, journal):
            held = intents.load(connection, list(intent_ids))
            taken = [step for each in held.values() if (step := steps.seen(each, state, journal.now)) is not None]
            intents.save(connection, [step.intent for step in taken])
            for step in taken:
                journal.of_intent("shown", step.intent)
        return len(taken)

    def go_on(self, intent_ids: Collection[str]) -> int:
        """Let parked intents be taken now instead of at their time; return how many were parked."""
        with self._change() as (connection, journal):
            held = intents.load(connection, list(intent_ids))
            parked = [each for each in held.values() if each.state is State.PLANNED and each.not_before is not None]
            going = [steps.retried(each, journal.now).intent for each in parked]
            intents.save(connection, going)
            for each in going:
                journal.of_intent("woken", each)
        return len(parked)

    def release(self, intent_ids: Collection[str]) -> None:
        """Give back intents that were claimed and not begun."""
        with transaction(self._engine) as connection:
            intents.lease(connection, list(intent_ids), worker="", until=None)

    # -- after a restore ----------------------------------------------------------------------------------------------

    def restores(self, shop: str) -> list[Restore]:
        """Return when this ledger was restored from a backup, the newest first."""
        with transaction(self._engine, is_reading=True) as connection:
            return restores.of_shop(connection, shop)

    def is_reading_back(self, shop: str) -> bool:
        """Tell whether the ledger was restored and what was sent after the backup is not known again yet: nothing is sent."""
        return any(each.reconciled_at is None for each in self.restores(shop))

    def mark_restored(self, shops: Collection[str], *, backed_up_at: datetime, restored_at: datetime) -> None:
        """Mark shops as restored from a backup of that instant, those with writes in it too."""
        with self._change() as (connection, journal):
            for shop in restores.mark(connection, shops, backed_up_at, restored_at):
                journal.add(Event(shop, "restored", "ledger", facts={"backed_up_at": backed_up_at}))

    def retried_since(self, intent_ids: Sequence[str], since: datetime) -> frozenset[str]:
        """Return which of these writes a person asked to go on with after an instant."""
        with transaction(self._engine, is_reading=True) as connection:
            return audit.retried_since(connection, intent_ids, since)

    def unsettle(self, shop: str) -> int:
        """Make what was on its way when a backup was made unclear and due to be read back now; return how many."""
        with self._change() as (connection, journal):
            restored = [each for each in restores.of_shop(connection, shop) if each.reconciled_at is None]
            taken = restores.unsettle(connection, restored[0], journal.now, self.timing) if restored else []
            self._save(connection, taken, journal)
            for step in taken:
                journal.of_intent("unsettled", step.intent)
        return len(taken)

    def reconcile(self, shop: str) -> None:
        """End the reading back after a restore: writes may leave again."""
        with self._change() as (connection, journal):
            restores.reconcile(connection, shop, journal.now)
            journal.add(Event(shop, "reconciled", "ledger"))

    # -- exceptions ---------------------------------------------------------------------------------------------------

    def raise_exceptions(self, shop: str, lane: str, plans: Sequence[ExceptionPlan]) -> Changed:
        """Make the open exceptions of a source of exceptions (a check, a poll) exactly those given."""
        with self._change() as (connection, journal):
            return exceptions.follow_lane(connection, shop, lane, plans, catalogue=self._catalogue, journal=journal)

    def exceptions(
        self,
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
        """Return exceptions that fit all that is given, most urgent clock first; ``is_open=None`` gives resolved ones too."""
        with transaction(self._engine, is_reading=True) as connection:
            return exceptions.find(
                connection,
                shop=shop,
                types=types,
                owner=owner,
                severities=severities,
                is_open=is_open,
                exception_id=exception_id,
                order_id=order_id,
                lane=lane,
                limit=limit,
            )

    def owners(self) -> dict[str, str]:
        """Return who owns each type of exception, by the catalogue and the installation's own rows over it."""
        return {name: rule.owner for name, rule in self._catalogue.rules.items()}

    def assign(self, exception_id: int, owner: str, *, by: str, note: str = "") -> OpenException:
        """Give an exception to an owner. Raises BadArgument where it is unknown or resolved."""
        return self.assign_all([exception_id], owner, by=by, note=note)[0]

    def assign_all(self, exception_ids: Sequence[int], owner: str, *, by: str, note: str = "") -> list[OpenException]:
        """Give exceptions to an owner, all or none, with an event of the history for each."""
        return self._act(exception_ids, "assign", by, f"to {owner}. {note}".strip(), owner=owner)

    def snooze(self, exception_id: int, until: datetime, *, by: str, note: str) -> OpenException:
        """Quieten an exception until an instant, with a reason; its clock keeps running."""
        return self.snooze_all([exception_id], until, by=by, note=note)[0]

    def snooze_all(self, exception_ids: Sequence[int], until: datetime, *, by: str, note: str) -> list[OpenException]:
        """Quieten exceptions, all or none, with an event of the history for each."""
        return self._act(exception_ids, "snooze", by, f"until {until.isoformat()}. {note}", snoozed_until=until)

    def closed_by_hand(self, shop: str, lane: str) -> list[OpenException]:
        """Return what lanes whose names begin so have found and a person has closed (see ``exceptions.closed_by_hand``)."""
        with transaction(self._engine, is_reading=True) as connection:
            return exceptions.closed_by_hand(connection, shop, lane)

    def snooze_to_day(self, exception_ids: Sequence[int], day: date, *, by: str, note: str) -> list[OpenException]:
        """Quieten exceptions until a day begins in their shops, all or none. Raises BadArgument where it began already."""
        with self._change() as (connection, journal):
            by_shop: dict[str, list[int]] = {}
            for each in exceptions.act(connection, exception_ids):
                by_shop.setdefault(each.shop, []).append(each.exception_id)
            changed: list[OpenException] = []
            for shop, meant in by_shop.items():
                until = self._catalogue.day_begins(shop, day)
                if until <= journal.now:
                    raise BadArgument(f"{day} is not after today: give a later day")
                for each in exceptions.act(connection, meant, snoozed_until=until):
                    journal.add(_by_person(each, "snooze", by, f"until {until.isoformat()}. {note}"))
                    changed.append(each)
        return changed

    def resolve(self, exception_id: int, *, by: str, note: str) -> OpenException:
        """Close an exception by hand, with a reason; a state that is still there opens it again, an event of the past does not.

        It opens again with the clock it had.
        """
        return self.resolve_all([exception_id], by=by, note=note)[0]

    def resolve_all(self, exception_ids: Sequence[int], *, by: str, note: str) -> list[OpenException]:
        """Close exceptions by hand, all or none, with an event of the history for each."""
        ended = {"resolved_at": self.clock.now(), "resolution": f"by {by}: {note}", "was_closed_by_hand": True}
        return self._act(exception_ids, "resolve", by, note, **ended)

    def exception_history(self, exception_id: int) -> list[Happening]:
        """Return what happened to an exception and its write, oldest first (see ``queue.history``).

        Raises BadArgument where there is none.
        """
        with transaction(self._engine, is_reading=True) as connection:
            found = exceptions.find(connection, exception_id=exception_id, is_open=None)
            if not found:
                raise BadArgument(f"There is no exception {exception_id}; list them with `exceptions list`.")
            return queue.history(connection, found[0])

    def retry(self, exception_id: int, *, by: str, note: str = "") -> Intent:
        """Go on with the write of an exception: see ``retry_all``."""
        return self.retry_all([exception_id], by=by, note=note)[0]

    def retry_all(self, exception_ids: Sequence[int], *, by: str, note: str = "") -> list[Intent]:
        """Go on with the writes of exceptions, each once, all or none: plan them anew or read them back, never send them blindly.

        Raises BadArgument where an exception belongs to no write, or its write needs no retry; nothing is changed then.
        """
        with self._change() as (connection, journal):
            found = exceptions.act(connection, exception_ids)
            held = intents.load(connection, [each.intent_id for each in found if each.intent_id])
            for each in found:
                if each.intent_id not in held:
                    raise BadArgument(
                        f"Exception {each.exception_id} ({each.type}) belongs to no write; it closes by itself when its cause is mended."
                    )
                journal.add(_by_person(each, audit.RETRY, by, note))
            made = [steps.retried(intent, journal.now) for intent in held.values()]
            self._save(connection, made, journal)
            for step in made:
                journal.of_intent(audit.RETRY, step.intent, by)
        return [step.intent for step in made]

    # -- alerts -------------------------------------------------------------------------------------------------------

    def alert_channel(self, channel: str) -> ChannelState:
        """Return how an alert channel does."""
        with transaction(self._engine, is_reading=True) as connection:
            return alerts.state(connection, channel)

    def alerts_due(self, wanted: Wanted) -> Batch:
        """Return what a channel was not told of yet; it is not claimed by that."""
        with transaction(self._engine, is_reading=True) as connection:
            return alerts.due(connection, wanted, self.clock.now())

    def claim_alerts(self, wanted: Wanted, *, worker: str, lease_s: float) -> Batch:
        """Take what a channel is to be told, for one sender and for so long, before it is sent."""
        now = self.clock.now()
        with transaction(self._engine) as connection:
            until = now + timedelta(seconds=lease_s)
            return alerts.claim(connection, wanted, worker=worker, now=now, until=until)

    def alerts_taken(self, batch: Batch, *, worker: str, shop: str) -> None:
        """Keep that a channel took a batch, and close the exception that says the channel is down."""
        with self._change() as (connection, journal):
            alerts.took(connection, batch, worker=worker, now=journal.now)
            lane = alerts.lane_of(batch.channel)
            exceptions.follow_lane(connection, shop, lane, (), catalogue=self._catalogue, journal=journal)

    def alerts_refused(
        self, batch: Batch, *, worker: str, reason: str, retry_at: datetime, plan: ExceptionPlan
    ) -> ChannelState:
        """Keep that a channel did not take a batch, which stays to be told, and open the exception that says so."""
        with self._change() as (connection, journal):
            now = journal.now
            down = alerts.refused(connection, batch, worker=worker, reason=reason, now=now, retry_at=retry_at)
            lane = alerts.lane_of(batch.channel)
            exceptions.follow_lane(connection, plan.shop, lane, (plan,), catalogue=self._catalogue, journal=journal)
        return down

    def digest_told(self, channel: str, day: date) -> None:
        """Keep that a channel had its digest of a day, unless a sender is still at it."""
        now = self.clock.now()
        with transaction(self._engine) as connection:
            alerts.had_digest(connection, channel, day, now)

    def note_alert(self, key: str, *, shop: str, owner: str, severity: str, about: str) -> None:
        """Keep something that people hear of once and that is no exception, such as a failed job; seen again it is counted."""
        now = self.clock.now()
        with transaction(self._engine) as connection:
            alerts.note_event(connection, key, shop=shop, owner=owner, severity=severity, about=about, now=now)

    # -- what people are shown, and hold back -------------------------------------------------------------------------

    def queue_page(self, wanted: QueueFilter, place: Place | None = None, *, limit: int) -> QueuePage:
        """Return one page of the exceptions that are asked for (see ``queue.page``)."""
        with transaction(self._engine, is_reading=True) as connection:
            return queue.page(connection, wanted, place, limit=limit, now=self.clock.now())

    def queue_counts(self, shop: str = "") -> list[OwnerCount]:
        """Return how many open exceptions each owner has, by age (see ``queue.counts``)."""
        with transaction(self._engine, is_reading=True) as connection:
            return queue.counts(connection, shop, self.clock.now())

    def last_acts(self, *, before: tuple[datetime, int, str] | None = None, limit: int) -> list[Happening]:
        """Return what people did, newest first (see ``queue.last_acts``)."""
        with transaction(self._engine, is_reading=True) as connection:
            return queue.last_acts(connection, before=before, limit=limit)

    def tick(self, shop: str, key: str, *, by: str, note: str, facts: Mapping[str, Any]) -> None:
        """Put into the history that a person made a check of the checklist (``monitoring.checklist`` says which there are)."""
        with self._change() as (_, journal):
            journal.add(checks.event(shop, key, by, {**facts, "note": audit.words(note)}))

    def last_ticks(self, shop: str, keys: Collection[str]) -> dict[str, Happening]:
        """Return the last tick of each of these checks that has one, by its key."""
        with transaction(self._engine, is_reading=True) as connection:
            return checks.last(connection, shop, keys)

    def began_at(self, shop: str) -> datetime | None:
        """Return when the history of a shop began; None where nothing is told of it yet."""
        with transaction(self._engine, is_reading=True) as connection:
            return checks.began_at(connection, shop)

    def held_writes(self) -> Mapping[tuple[str, WriteKind], Held]:
        """Return which kinds of write people hold back, by shop and kind."""
        with transaction(self._engine, is_reading=True) as connection:
            return holding.held(connection)

    def held_modes(self) -> Mapping[tuple[str, WriteKind], WriteMode]:
        """Return the most that is let through of each kind that is held back, for ``settings.Switches``."""
        return {key: each.mode for key, each in self.held_writes().items()}

    def hold_write(self, shop: str, kind: WriteKind, mode: WriteMode, *, by: str, reason: str) -> None:
        """Let at most ``mode`` through of a kind of write of a shop, whatever the settings say; ``live`` lets it go again."""
        with self._change() as (connection, journal):
            before = holding.held(connection).get((shop, kind))
            facts = {"before": before.mode if before else WriteMode.LIVE, "mode": mode, "reason": audit.words(reason)}
            holding.hold(connection, Held(shop, kind, mode, by, reason, journal.now))
            name = "let_go" if mode is WriteMode.LIVE else "held"
            journal.add(Event(shop, name, f"write {kind}", by, facts))

    def tell_mapping(self, shops: Collection[str], table: str, *, by: str, note: str, facts: Mapping[str, Any]) -> None:
        """Tell the history of shops that a person adds a row to a mapping table, before the table has it."""
        with self._change() as (_, journal):
            told = {name: audit.words(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
            for shop in shops:
                journal.add(Event(shop, "added", f"mapping {table}", by, {**told, "note": audit.words(note)}))

    def last_mapping_hash(self, table: str) -> str:
        """Return the hash that a mapping table's file had after the last change the history tells of; empty where it tells none."""
        with transaction(self._engine, is_reading=True) as connection:
            return audit.last_mapping_hash(connection, table)

    # -- reading state ------------------------------------------------------------------------------------------------

    def record(self, call: CallRecord) -> None:
        """Keep one call to an outside system (the ledger is a CallLog)."""
        self._calls.add(call)

    def flush_calls(self) -> None:
        """Write the calls kept in memory to the log."""
        self._calls.flush()

    def calls_since(self, shop: str, since: datetime) -> list[tuple[str, str, int, int]]:
        """Return (system, operation, calls, those told to wait) of a shop since an instant, by its log of calls."""
        self.flush_calls()
        with transaction(self._engine, is_reading=True) as connection:
            return records.calls_since(connection, shop, since)

    def refused_operations(self, shop: str) -> list[tuple[str, str, datetime]]:
        """Return (system, operation, when) of what a shop's key was refused (401, 403) when it was last called."""
        self.flush_calls()
        with transaction(self._engine, is_reading=True) as connection:
            return records.refused_operations(connection, shop)

    def forget_calls(self, before: datetime) -> int:
        """Delete logged calls older than an instant; the history and intents are never deleted."""
        with transaction(self._engine) as connection:
            return records.forget_calls(connection, before)

    def cursor(self, shop: str, stream: str) -> datetime | None:
        """Return up to when a stream was read, or None where it never was."""
        with transaction(self._engine, is_reading=True) as connection:
            return records.cursor(connection, shop, stream)

    def cursors(self, shop: str) -> dict[str, tuple[datetime, datetime]]:
        """Return (watermark, when it was read up to there) by stream of a shop."""
        with transaction(self._engine, is_reading=True) as connection:
            return records.cursors(connection, shop)

    def set_cursor(self, shop: str, stream: str, watermark: datetime, lake: LakeMark | None = None) -> None:
        """Move a stream's cursor forward; an older watermark changes nothing, the same one says that it was read. ``lake`` is where what was read is."""
        with transaction(self._engine) as connection:
            records.set_cursor(connection, shop, stream, watermark, now=self.clock.now(), lake=lake)

    def standing(self) -> list[records.Standing]:
        """Return the states of lakes that the cursors stand on."""
        with transaction(self._engine, is_reading=True) as connection:
            return records.standing(connection)

    def stand_on(self, shop: str, lake: LakeMark) -> None:
        """Let the cursors of a shop stand on a lake that has what was read before them."""
        with transaction(self._engine) as connection:
            records.stand_on(connection, shop, lake)

    def count_assignments(self, name: str, shop: str) -> int:
        """Return how many rows of an assignment table are kept of a shop."""
        with transaction(self._engine, is_reading=True) as connection:
            return assignments.count(connection, name, shop)

    def assignments(self, name: str, shop: str) -> list[dict[str, Any]]:
        """Return what is kept of an assignment table of a shop."""
        with transaction(self._engine, is_reading=True) as connection:
            return assignments.rows(connection, name, shop)

    def keep_assignments(self, name: str, shop: str, given: Sequence[dict[str, Any]]) -> None:
        """Keep rows of an assignment table (``core.return_unit_assignments``, ``core.receipt_assignments``) for good."""
        with transaction(self._engine) as connection:
            assignments.keep(connection, name, shop, given)

    def taken_files(self, shop: str, system: str) -> frozenset[str]:
        """Return the content hashes of the extract files taken already."""
        with transaction(self._engine, is_reading=True) as connection:
            return records.taken(connection, shop, system)

    def take_files(self, shop: str, system: str, files: Iterable[tuple[str, str]]) -> int:
        """Remember (content hash, name) of extract files taken; return how many were new."""
        with transaction(self._engine) as connection:
            return records.take(connection, shop, system, files, self.clock.now())

    def period(self, shop: str, month: Month) -> Period:
        """Return a month's state; OPEN where nothing was ever said about it."""
        with transaction(self._engine, is_reading=True) as connection:
            return period_states.period(connection, shop, month)

    def periods(self, shop: str) -> list[Period]:
        """Return every month of a shop that has a state, oldest first."""
        with transaction(self._engine, is_reading=True) as connection:
            return period_states.periods(connection, shop)

    def kept_snapshots(self) -> set[int]:
        """Return the snapshots of the lake that hold a closed month of any shop, also of one that is in no settings any more."""
        with transaction(self._engine, is_reading=True) as connection:
            return period_states.kept_snapshots(connection)

    def check_open(self, shop: str, month: Month) -> None:
        """Raise PeriodLocked where a month is signed or locked."""
        with transaction(self._engine, is_reading=True) as connection:
            period_states.check_open(connection, shop, month)

    def step_period(
        self,
        shop: str,
        month: Month,
        state: PeriodState,
        *,
        by: str = "",
        seen: Period | None = None,
        **facts: Any,
    ) -> Period:
        """Move a month to a state with its facts (``prepared_by``, ``approved_by``, ...); PeriodLocked where not allowed.

        ``by`` is who does it, for the history, where the facts do not say so. ``seen`` is the month as it was looked at: where it is
        another by now, it is not moved.
        """
        with self._change() as (connection, journal):
            changed = period_states.step(connection, shop, month, state, journal.now, seen=seen, **facts)
            actor = by or str(facts.get("approved_by") or facts.get("prepared_by") or "")
            said = {name: audit.words(str(fact)) for name, fact in facts.items()}
            journal.add(Event(shop, str(state).lower(), f"month {month}", actor, said))
        return changed

    # -- persons ------------------------------------------------------------------------------------------------------

    def redact(
        self, shop: str, order_id: str, words: Collection[str], numbers: Mapping[str, Collection[str]]
    ) -> Redacted:
        """Take words out of every text of an order's writes and exceptions; amounts, ids and states stay (``erasing``).

        ``numbers`` as for ``exceptions_of_order``.
        """
        with self._change() as (connection, journal):
            return erasing.redact(connection, journal, shop, order_id, words=words, numbers=numbers)

    def empty_log(self) -> bool:
        """Let the database's log hold nothing of what was redacted; False where it is in use just now."""
        return empty_log(self._engine)

    def note_erasure(self, shop: str, order_id: str, by: str, facts: Mapping[str, Any]) -> bool:
        """Put into the history that a customer was erased; False where it is there already."""
        with self._change() as (connection, journal):
            lock_shop(connection, shop, "erasure")
            if erasing.is_noted(connection, shop, order_id):
                return False
            journal.add(erasing.event(shop, order_id, by, facts))
        return True

    def note_disclosed(self, orders: Collection[tuple[str, str]], name: str, *, by: str, note: str) -> None:
        """Put into the history that a person was shown (``SEEN``) or given (``EXPORTED``) the personal data of orders (shop, id)."""
        with self._change() as (_, journal):
            for shop, order_id in sorted(set(orders)):
                journal.add(erasing.disclosed(shop, order_id, name, by, audit.words(note)))

    def exceptions_of_order(
        self, shop: str, order_id: str, numbers: Mapping[str, Collection[str]]
    ) -> list[OpenException]:
        """Return the exceptions of an order, the open ones first; ``numbers`` are the ids of its parts by their names."""
        with transaction(self._engine, is_reading=True) as connection:
            return exceptions.of_order(connection, shop, order_id, numbers)

    def history(self, shop: str, order_id: str, numbers: Mapping[str, Collection[str]]) -> list[dict[str, Any]]:
        """Return the events of an order's writes, of its exceptions, and of the order itself, oldest first.

        ``numbers`` as for ``exceptions_of_order``.
        """
        with transaction(self._engine, is_reading=True) as connection:
            return erasing.history(connection, shop, order_id, numbers)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _act(
        self, exception_ids: Sequence[int], action: str, by: str, note: str, **changes: Any
    ) -> list[OpenException]:
        with self._change() as (connection, journal):
            changed = exceptions.act(connection, exception_ids, **changes)
            for each in changed:
                journal.add(_by_person(each, action, by, note))
        return changed

    @contextmanager
    def _change(self) -> Iterator[tuple[Connection, Journal]]:
        """Give one writing transaction and the journal of what happens in it, appended to the history before it commits."""
        journal = Journal(self.clock.now())
        with transaction(self._engine) as connection:
            yield connection, journal
            journal.write(connection)

    def _save(self, connection: Connection, taken: Sequence[Step], journal: Journal) -> None:
        """Write steps and make the exceptions of their intents follow; a try on its way neither opens nor closes any."""
        intents.save(connection, [step.intent for step in taken])
        raised = [
            Raised(step.alarm, f"write/{step.intent.kind}", step.intent.intent_id) for step in taken if step.alarm
        ]
        ended = [step.intent.intent_id for step in taken if step.intent.state is not State.SENDING]
        waiting = {step.intent.intent_id for step in taken if step.intent.state is State.PLANNED}
        exceptions.follow_intents(connection, ended, raised, self._catalogue, journal, waiting=waiting)


def _as_arrow(rows: Sequence[Any], schema: pa.Schema) -> pa.Table:
    values = zip(*rows, strict=True) if rows else ((),) * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _by_person(found: OpenException, action: str, by: str, note: str) -> Event:
    facts = {"type": found.type, "intent_id": found.intent_id, "note": audit.words(note)}
    return Event(found.shop, action, exceptions.subject(found.exception_id), by, facts)
