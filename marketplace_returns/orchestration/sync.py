"""One full pass of a shop, and the steps it is made of.

Here: the order of things (pull, extend the model, decide, send, look again) and what each step reports; Dagster's assets
and the command line call the same functions. Not here: any rule, and no Dagster. The invariants: a source that fails stops
neither the other sources nor the lanes, and is told as an exception; nothing is sent in shadow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import httpx

from marketplace_returns.errors import (
    AuthFailed,
    BadArgument,
    ContractBroken,
    RateLimited,
    SourceError,
    SourceUnreachable,
)
from marketplace_returns.lake.connection import side_by_side
from marketplace_returns.lake.pull import BATCH_OBJECTS_MAX, PullResult
from marketplace_returns.lake.tables import QUARANTINE
from marketplace_returns.lanes import LANES
from marketplace_returns.lanes.plan import ExceptionPlan, LaneDecision
from marketplace_returns.ledger import balance, reflection
from marketplace_returns.ledger.dispatch import drain, look_for_done, read_backs
from marketplace_returns.ledger.states import State
from marketplace_returns.model import assign_return_units
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.assigned import bring_back
from marketplace_returns.orchestration.pulling import Poll, begin_poll, end_poll, mark_of, pull_touched, settle
from marketplace_returns.orchestration.streams import Stream, is_due, streams_of
from marketplace_returns.settings import Shop, WriteKind
from marketplace_returns.settings_mistakes import variable_name

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from marketplace_returns.ledger.records import LakeMark

__all__ = [
    "App",
    "LaneReport",
    "PassReport",
    "SendReport",
    "SourceFailure",
    "decide",
    "extend_model",
    "is_of_whole_source",
    "poll_or_tell",
    "pull_due",
    "run_pass",
    "send",
    "with_mend",
]

Say = Callable[[str], None]
_NOT_CONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout)
Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class LaneReport:
    """What a lane decided and what of it was new to the ledger (nothing, in shadow)."""

    lane: str
    considered: int
    planned: int
    exceptions: int
    new: int = 0
    opened: int = 0
    closed: int = 0
    decision: LaneDecision | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SendReport:
    """How many writes ended where, and how many have come to show outside, settled, or are late to show."""

    by_kind_and_state: dict[tuple[WriteKind, State], int]
    seen: reflection.Reflected
    held: str = ""
    """Why nothing was sent, where the ledger was restored and is not reconciled yet."""

    def total(self, state: State) -> int:
        """Return how many writes of all kinds ended in a state."""
        return sum(count for (_, found), count in self.by_kind_and_state.items() if found is state)


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """A stream that could not be read, why, and the source's other streams that were not asked for the same reason."""

    stream: str
    error: str
    message: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass of a shop did. ``is_complete`` says whether every source could be read."""

    shop: str
    run_id: str
    pulls: tuple[PullResult, ...]
    failures: tuple[SourceFailure, ...]
    return_units_assigned: int
    lanes: tuple[LaneReport, ...]
    sent: SendReport
    exceptions_open: int
    critical_open: int
    is_shadow: bool

    @property
    def is_complete(self) -> bool:
        """Whether every source could be read."""
        return not self.failures


def run_pass(
    app: App,
    shop_name: str,
    *,
    run_id: str,
    lanes: Sequence[str] | None = None,
    shadow: bool = False,
    everything: bool = False,
    verify: bool = True,
    on_progress: Say | None = None,
) -> PassReport:
    """Do one full pass of a shop: pull, extend the model, decide, send, read back, pull what was touched, reflect.

    ``run_id`` names the pass in the lake's snapshots and the ledger's leases; ``lanes`` are those to decide, all of them
    where it is None; ``everything`` polls every stream, not only those whose time has come; in ``shadow`` the lanes decide and show,
    nothing is handed to the ledger and nothing is sent; without ``verify`` what the pass wrote is not read again at its end: the polls
    of the next pass show it;
    ``on_progress`` hears of each step in words.

    Raises:
        BadArgument: an unknown shop or lane.
        LakeBusy, LedgerBusy: another process holds them; what came before is kept.
    """
    shop = app.shop(shop_name)
    chosen = _chosen_lanes(lanes)
    say = on_progress or _silently
    pulls, failures = pull_due(app, shop_name, run_id=run_id, everything=everything, on_progress=say)
    say("computing the model")
    assigned = extend_model(app, shop_name, run_id=run_id)
    say("lanes: deciding")
    reports = decide_all(app, shop_name, chosen, shadow=shadow)
    if shadow:
        sent = SendReport({}, reflection.Reflected(0, 0, 0))
    else:
        say("sending what is due")
        sent = send(app, shop_name, run_id=run_id, verify=verify)
    waiting = app.ledger.exceptions(shop=shop.name)
    return PassReport(
        shop=shop.name,
        run_id=run_id,
        pulls=pulls,
        failures=failures,
        return_units_assigned=assigned,
        lanes=tuple(reports),
        sent=sent,
        exceptions_open=len(waiting),
        critical_open=sum(each.severity == "critical" for each in waiting),
        is_shadow=shadow,
    )


def pull_due(
    app: App, shop_name: str, *, run_id: str, everything: bool = False, on_progress: Say | None = None
) -> tuple[tuple[PullResult, ...], tuple[SourceFailure, ...]]:
    """Poll every stream whose time has come (or ``everything``) and return what came and what failed.

    A source that fails is told as an exception of its own, closed again when it answers; the others go on. A source that
    cannot be reached or refuses its key is asked once, not once for each of its streams.
    """
    shop = app.shop(shop_name)
    say = on_progress or _silently
    polled_at = {stream: at for stream, (_, at) in app.ledger.cursors(shop.name).items()}
    pulls: list[PullResult] = []
    failures: dict[str, SourceFailure] = {}
    silent: dict[str, str] = {}  # source -> its stream that showed that the others need not be asked
    read: list[Poll] = []

    def end(polls: Sequence[Poll]) -> None:
        settle(polls)
        mark = mark_of(app, polls)
        for poll in polls:
            name, source = poll.stream.name, poll.stream.source
            try:
                pulls.append(_end_or_tell(app, shop_name, poll, mark))
            except SourceError as error:
                words = with_mend(shop, source, error)
                failures[name] = SourceFailure(name, type(error).__name__, words)
                say(f"{name}: {words}")
                if is_of_whole_source(error):
                    silent[source] = name

    for stream in streams_of(shop):
        if not everything and not is_due(stream, polled_at.get(stream.name), app.clock.now()):
            continue
        if stream.source in silent:
            first = failures[silent[stream.source]]
            failures[first.stream] = replace(first, left_out=(*first.left_out, stream.name))
            continue
        say(f"{stream.name}: reading")
        poll = begin_poll(app, shop_name, stream, run_id=run_id)
        if poll.reading is None or poll.reading.failure is not None:
            end([poll])
            continue
        read.append(poll)
        if sum(each.waiting for each in read) >= BATCH_OBJECTS_MAX:
            end(read)
            read = []
    # Most polls bring little: what a transaction costs is more than what it writes.
    end(read)
    return tuple(pulls), tuple(failures.values())


def poll_or_tell(
    app: App, shop_name: str, stream: Stream, *, run_id: str, window: Window | None = None, say: Say | None = None
) -> PullResult:
    """Pull a stream (see ``pull_stream``) and keep its exceptions in step; raises what the source raised."""
    poll = begin_poll(app, shop_name, stream, run_id=run_id, window=window, say=say)
    settle([poll])
    return _end_or_tell(app, shop_name, poll)


def _end_or_tell(app: App, shop_name: str, poll: Poll, mark: LakeMark | None = None) -> PullResult:
    try:
        result = end_poll(app, shop_name, poll, mark)
    except SourceError as error:
        tell_source(app, shop_name, poll.stream.name, error)
        raise
    tell_source(app, shop_name, poll.stream.name, None)
    tell_set_aside(app, shop_name, poll.stream, result)
    return result


def tell_source(app: App, shop_name: str, stream: str, error: SourceError | None) -> None:
    """Make the exception queue say how a stream fares: one exception while it cannot be read, none when it can."""
    plans: tuple[ExceptionPlan, ...] = ()
    if error is not None:
        exception_type, root_cause = _type_of(error)
        plans = (
            ExceptionPlan(
                shop=shop_name,
                type=exception_type,
                entity={"stream": stream},
                cause=type(error).__name__,
                message=f"{stream} cannot be read: {with_mend(app.shop(shop_name), stream.partition('/')[0], error)}",
                evidence={"operation": error.operation, "request_id": error.request_id, "answer": error.excerpt},
                root_cause=root_cause,
            ),
        )
    app.ledger.raise_exceptions(shop_name, f"source/{stream}", plans)


def tell_set_aside(app: App, shop_name: str, stream: Stream, result: PullResult) -> None:
    """Make the exception queue say which rows of a stream are in quarantine, until they come again and are good."""
    lane = f"quarantine/{stream.name}"
    if not result.quarantined and not app.ledger.exceptions(shop=shop_name, lane=lane, limit=1):
        return
    held = app.con.execute(
        f"SELECT table_name, count(*), min_by(row_key, quarantined_at), min_by(reason, quarantined_at) "
        f"FROM {QUARANTINE.path} WHERE shop = ? AND source = ? AND list_contains(?, table_name) GROUP BY ALL ORDER BY ALL",
        [shop_name, stream.source, [table.name for table in stream.declared_tables]],
    ).fetchall()
    plans = [
        ExceptionPlan(
            shop=shop_name,
            type="SCHEMA_CHANGED",
            entity={"stream": stream.name, "table": table_name},
            cause="quarantine",
            message=f"{count} of {stream.name} set aside in landing.quarantine ({table_name}); {row_key}: {reason}",
            evidence={"rows": count, "row_key": row_key, "reason": reason},
            root_cause="validation",
        )
        for table_name, count, row_key, reason in held
    ]
    app.ledger.raise_exceptions(shop_name, lane, plans)


def extend_model(app: App, shop_name: str, *, run_id: str) -> int:
    """Compute a shop's model on the connection and number what return units and receipts are new, once for good; return how many."""
    shop, con = app.shop(shop_name).name, app.ready()

    def keep(name: str, given: pa.Table) -> None:
        app.ledger.keep_assignments(name, shop, given.to_pylist())

    bring_back(app, con, shop, run_id=run_id)
    assigned = assign_return_units(app.lake, con, shop, run_id, app.clock.now(), keep=keep)
    app.computed_for = (shop_name, run_id)
    return assigned


def decided_on(app: App, shop_name: str, *, run_id: str) -> DuckDBPyConnection:
    """Return the connection with the shop's model computed, once in a run: a view on views costs seconds of planning."""
    if app.computed_for != (shop_name, run_id):
        extend_model(app, shop_name, run_id=run_id)
    return app.con


def decide(app: App, con: DuckDBPyConnection, shop_name: str, lane: str) -> LaneReport:
    """Let a lane decide on the model as it is now, and hand its decision to the ledger.

    Raises:
        BadArgument: an unknown shop or lane.
    """
    shop = app.shop(shop_name)
    _chosen_lanes([lane])
    return _report(app, shop, lane, LANES[lane](con, shop, app.mappings, app.clock.now()), shadow=False)


def decide_all(app: App, shop_name: str, lanes: Sequence[str], *, shadow: bool = False) -> list[LaneReport]:
    """Let lanes decide on the model as it is computed, and hand their decisions to the ledger in their order, unless it is shadow."""
    shop, now = app.shop(shop_name), app.clock.now()

    def decided(lane: str, con: DuckDBPyConnection) -> LaneDecision:
        return LANES[lane](con, shop, app.mappings, now)

    decisions = side_by_side(app.con, [partial(decided, lane) for lane in lanes])
    return [_report(app, shop, lane, decision, shadow=shadow) for lane, decision in zip(lanes, decisions, strict=True)]


def _report(app: App, shop: Shop, lane: str, decision: LaneDecision, *, shadow: bool) -> LaneReport:
    found = (lane, decision.considered, len(decision.intents), len(decision.exceptions))
    if shadow:
        return LaneReport(*found, decision=decision)
    applied = app.ledger.apply(decision, shop)
    return LaneReport(*found, applied.new_intents, applied.opened, applied.closed, decision)


def send(
    app: App, shop_name: str, *, run_id: str, kinds: Sequence[WriteKind] | None = None, verify: bool = True
) -> SendReport:
    """Settle what is unclear, send what is due once, read again what was touched (``verify``), and note what shows outside."""
    shop = app.shop(shop_name)
    counts: Counter[tuple[WriteKind, State]] = Counter()
    executors = app.executors(shop)
    held = _reconcile_restored(app, shop_name, run_id=run_id) if app.ledger.is_reading_back(shop.name) else ""
    if kinds is None or WriteKind.REFUND in kinds:
        balance.wake(app.ledger, app.con, shop)
    counts.update(read_backs(app.ledger, shop, executors, kinds=kinds, worker=run_id).counts)
    mode_of = partial(app.switches.mode, shop.name)
    drained = drain(app.ledger, shop, executors, app.clock, kinds=kinds, worker=run_id, mode_of=mode_of)
    counts.update(drained.counts)
    if verify:
        _read_again(app, shop_name, run_id=run_id)
    app.report_anew()
    return SendReport(dict(counts), reflection.reflect(app.ledger, app.con, shop, app.clock.now()), held)


def _reconcile_restored(app: App, shop_name: str, *, run_id: str) -> str:
    """Learn what was sent after the backup that the ledger was restored from; return why that is not known yet, or nothing.

    Every source is read, every lane decides on that, what was on its way is read back, and what planned writes find done is
    taken over, not before a reply of the time before the restore can be late no more. Then the shop is reconciled.
    """
    shop, now = app.shop(shop_name), app.clock.now()
    app.ledger.unsettle(shop.name)
    executors = app.executors(shop)
    read_backs(app.ledger, shop, executors, worker=run_id)
    known_from = app.ledger.restores(shop.name)[0].restored_at + timedelta(
        seconds=app.settings.timing.not_applied_after_s
    )
    if now < known_from:
        return f"the ledger was restored: what was sent before is looked for from {known_from:%Y-%m-%d %H:%M} UTC on"
    _, failures = pull_due(app, shop_name, run_id=run_id, everything=True)
    if failures:
        return f"the ledger was restored, and {', '.join(each.stream for each in failures)} could not be read since"
    extend_model(app, shop_name, run_id=run_id)
    decide_all(app, shop_name, tuple(LANES))
    look_for_done(app.ledger, shop, executors, worker=run_id)
    app.ledger.reconcile(shop.name)
    return ""


def _read_again(app: App, shop_name: str, *, run_id: str) -> None:
    """Read what our confirmed writes changed into the lake; a source that cannot be read now shows at the next poll."""
    try:
        pull_touched(app, shop_name, run_id=run_id)
    except SourceError as error:
        tell_source(app, shop_name, "touched", error)
    else:
        tell_source(app, shop_name, "touched", None)


def _chosen_lanes(lanes: Sequence[str] | None) -> tuple[str, ...]:
    if lanes is None:
        return tuple(LANES)
    for lane in lanes:
        if lane not in LANES:
            raise BadArgument(f"there is no lane {lane!r}: use one of {', '.join(LANES)}")
    return tuple(lane for lane in LANES if lane in lanes)


def _type_of(error: SourceError) -> tuple[str, str]:
    """Return the exception type and root cause of a source that cannot be read."""
    match error:
        case AuthFailed():
            return "AUTH_FAILED", "auth"
        case RateLimited():
            return "RATE_LIMITED", "rate"
        case ContractBroken():
            return "SCHEMA_CHANGED", "validation"
        case _:
            return "SOURCE_STALE", "time-out"


def is_of_whole_source(error: SourceError) -> bool:
    """Tell whether an error is of a source rather than of one stream: its key, its sign-in or its address."""
    if isinstance(error, AuthFailed):
        return error.status == HTTPStatus.UNAUTHORIZED or error.operation == "Authenticate"
    return isinstance(error, SourceUnreachable) and isinstance(error.__cause__, _NOT_CONNECTED)


def with_mend(shop: Shop, source: str, error: SourceError) -> str:
    """Return what a source's error says and, where it is one of the settings, which of them to look at."""
    if source == "mirakl":
        section, key, address = "mirakl", "api_key", shop.mirakl.base_url
    elif source == shop.returns.platform:
        section, key, address = "returns", "api_key", shop.returns.base_url
    elif shop.warehouse is not None and source == shop.warehouse.system:
        section, key, address = "warehouse", "password", shop.warehouse.base_url
    else:
        return str(error)
    place = f"shops.{shop.name}.{section}"
    if isinstance(error, AuthFailed):
        return f"{error} The secret is {variable_name(f'{place}.{key}')}."
    if is_of_whole_source(error):
        return f"{error} The address is {place}.base_url = {address}; check it and the network."
    return str(error)


def _silently(_: str) -> None:
    """Hear of progress and say nothing."""
