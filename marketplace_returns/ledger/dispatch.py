"""Sending: due intents leave in a fixed order, each at most once per attempt, and unclear ones are read back.

Here lives the order of commit, send, commit. What must not live here: how a kind is sent (``executors``) or what an outcome
means (``steps``). The invariant: SENDING(n) is committed before the first byte of attempt n leaves, and whatever happens
after that, a write without a committed answer is UNKNOWN, never sent again unseen.

Two commits a batch, so the ledger costs each write a fraction of a millisecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from marketplace_returns.clock import Clock
from marketplace_returns.errors import BadSettings, SourceError
from marketplace_returns.lanes.plan import DELTA_KEY, ExceptionPlan
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.ledger import Ledger
from marketplace_returns.ledger.outcomes import (
    AlreadyDone,
    Blocked,
    Executor,
    Found,
    NotSent,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Unknown,
    not_looked,
)
from marketplace_returns.ledger.states import DRAIN_ORDER, State
from marketplace_returns.settings import Shop, WriteKind, WriteMode

LIMIT: Final = 10_000
READ_BACK_BATCH: Final = 100


@dataclass(slots=True)
class DrainResult:
    """How many intents ended in which state, by kind; ``PLANNED`` counts those parked for later."""

    counts: Counter[tuple[WriteKind, State]] = field(default_factory=Counter)

    def add(self, changed: Sequence[Intent]) -> None:
        """Count intents by the state they are in now."""
        self.counts.update((each.kind, each.state) for each in changed)

    def total(self, state: State) -> int:
        """Return how many of all kinds ended in a state."""
        return sum(count for (_, found), count in self.counts.items() if found is state)


@dataclass(frozen=True, slots=True)
class _MayStart:
    """Says whether a further call may begin: so that it ends before the lease does, and while its kind is live."""

    clock: Clock
    stop_at: datetime
    is_live: Callable[[], bool]

    def __call__(self) -> bool:
        if self.clock.now() > self.stop_at:
            return False
        try:
            return self.is_live()
        except BadSettings:
            return False  # told by the next look, between two batches, when nothing is on its way


def drain(
    ledger: Ledger,
    shop: Shop,
    executors: Mapping[WriteKind, Executor],
    clock: Clock,
    *,
    kinds: Collection[WriteKind] | None = None,
    worker: str,
    limit: int = LIMIT,
    mode_of: Callable[[WriteKind], WriteMode] | None = None,
) -> DrainResult:
    """Send every due intent of a shop whose kind is live, in ``DRAIN_ORDER``, at most ``limit`` of each kind.

    Several workers may drain one shop at once: leases give every intent to one of them. Kinds that are off or in shadow are
    left alone (R114, R115); ``mode_of`` says so as it is now, and is asked before each call, else the shop's settings are as
    they were read. Errors of the sources become outcomes; any other error is a fault of this program: what it was
    sending is committed as UNKNOWN and the error goes on. Of a shop whose ledger was restored nothing is sent until it is
    reconciled.
    """
    mode_of = mode_of or shop.write_mode
    ledger.recover()
    result = DrainResult()
    if ledger.is_reading_back(shop.name):
        return result  # restored, and what was sent after the backup is not known again yet
    for kind in DRAIN_ORDER:
        executor = executors.get(kind)
        if executor is None or (kinds is not None and kind not in kinds):
            continue
        is_live = partial(_is_live, mode_of, kind)
        _drain_kind(ledger, shop, kind, executor, clock, is_live=is_live, worker=worker, limit=limit, result=result)
    return result


def read_backs(
    ledger: Ledger,
    shop: Shop,
    executors: Mapping[WriteKind, Executor],
    *,
    kinds: Collection[WriteKind] | None = None,
    worker: str,
) -> DrainResult:
    """Look at the outside for every unclear write whose time has come and settle it: adopted, not applied, or conflict.

    Runs whatever the write mode is: what was sent must be known (R115: in-flight finishes safely).
    """
    ledger.recover()
    result = DrainResult()
    for kind in DRAIN_ORDER:
        executor = executors.get(kind)
        if executor is None or (kinds is not None and kind not in kinds):
            continue
        while due := ledger.read_backs_due(shop.name, kind, worker=worker, limit=READ_BACK_BATCH):
            result.add(ledger.settle_read_backs(due, _look_back(executor, due)))
    return result


def look_for_done(
    ledger: Ledger,
    shop: Shop,
    executors: Mapping[WriteKind, Executor],
    *,
    worker: str,
) -> DrainResult:
    """Send nothing, and take over what planned writes find done outside: what a restored ledger does first.

    Of an order's refunds one is looked at, the others by their own pre-reads before they leave.
    """
    result = DrainResult()
    for kind in DRAIN_ORDER:
        executor = executors.get(kind)
        if executor is None or shop.write_mode(kind) is not WriteMode.LIVE:
            continue
        looked: list[str] = []
        while claimed := ledger.claim(shop.name, kind, worker=worker, limit=executor.batch_size):
            prepared = _prepare(ledger, executor, claimed)
            done = {key: seen for key, seen in prepared.items() if not isinstance(seen, Ready | NotSent)}
            result.add(ledger.begin(done, worker=worker)[1])
            looked += [key for key in prepared if key not in done]
        ledger.release(looked)
    return result


def _drain_kind(
    ledger: Ledger,
    shop: Shop,
    kind: WriteKind,
    executor: Executor,
    clock: Clock,
    *,
    is_live: Callable[[], bool],
    worker: str,
    limit: int,
    result: DrainResult,
) -> None:
    left = limit
    while left > 0 and is_live():
        claimed = ledger.claim(shop.name, kind, worker=worker, limit=min(executor.batch_size, left))
        if not claimed:
            return
        left -= len(claimed)
        stop_at = clock.now() + timedelta(seconds=ledger.lease_s - ledger.call_s_max)
        leaving, kept = ledger.begin(_prepare(ledger, executor, claimed), worker=worker)
        result.add(kept)
        ended: list[Intent] = []
        if leaving:
            ended = _send(ledger, executor, leaving, _MayStart(clock, stop_at, is_live))
            result.add(ended)
        changed = [*kept, *ended]
        _show_auth(ledger, shop, kind, changed)
        if any(each.state is State.PLANNED and each.root_cause in {"auth", "rate", "time-out"} for each in changed):
            return  # what shut the door for one shuts it for all: the next drain tries again


def _is_live(mode_of: Callable[[WriteKind], WriteMode], kind: WriteKind) -> bool:
    return mode_of(kind) is WriteMode.LIVE


def _prepare(ledger: Ledger, executor: Executor, claimed: Sequence[Intent]) -> dict[str, Preparation]:
    try:
        prepared = _done_before_restore(ledger, executor, claimed)
        left = [each for each in claimed if each.intent_id not in prepared]
        prepared |= executor.prepare(left) if left else {}
    except SourceError as error:
        return {each.intent_id: not_looked(error) for each in claimed}
    missing = NotSent("the pre-read said nothing about this write")
    return {each.intent_id: prepared.get(each.intent_id, missing) for each in claimed}


def _done_before_restore(ledger: Ledger, executor: Executor, claimed: Sequence[Intent]) -> dict[str, Preparation]:
    """Find, in a ledger that was restored, the writes that may have been sent after the backup and are done.

    Refunds are left to their own pre-read, which looks for exactly that. An addition to stock leaves no trace outside, so one
    that stands on facts from before the restore waits for a person.
    """
    restored = ledger.restores(claimed[0].shop)
    if not restored:
        return {}
    restored_at = restored[0].restored_at
    untried = [each for each in claimed if each.sent_at is None or each.sent_at < restored_at]
    additions = [each for each in untried if each.natural_key.startswith(DELTA_KEY)]
    asked_for = ledger.retried_since([each.intent_id for each in additions], restored_at)
    found: dict[str, Preparation] = {
        each.intent_id: Blocked(
            "STOCK_DRIFT",
            f"the ledger was restored at {restored_at:%Y-%m-%d %H:%M} UTC, and whether this addition was made before is not "
            "known: compare the offer with the shelf; retry it where the unit is missing, resolve it where it is there",
        )
        for each in additions
        if datetime.fromisoformat(each.evidence.get("inspected_at") or restored_at.isoformat()) <= restored_at
        and each.intent_id not in asked_for
    }
    others = [each for each in untried if each.kind is not WriteKind.REFUND and each not in additions]
    for key, seen in (executor.read_back(others) if others else {}).items():
        if isinstance(seen, Found):
            found[key] = AlreadyDone(seen.ref, "it was done before the ledger was restored")
    return found


def _send(ledger: Ledger, executor: Executor, leaving: Sequence[Intent], may_start: Callable[[], bool]) -> list[Intent]:
    try:
        outcomes: dict[str, Outcome] = dict(executor.send(leaving, may_start))
    except Exception as fault:
        # Not swallowed: some of the batch may be outside, so all of it is committed as unclear before the fault goes on.
        unclear = Unknown(f"fault while sending: {type(fault).__name__}")
        ledger.finish(leaving, {each.intent_id: unclear for each in leaving})
        raise
    silent = Unknown("the executor gave no outcome")
    return ledger.finish(leaving, {each.intent_id: outcomes.get(each.intent_id, silent) for each in leaving})


def _look_back(executor: Executor, due: Sequence[Intent]) -> dict[str, ReadBack | str]:
    try:
        seen: dict[str, ReadBack | str] = dict(executor.read_back(due))
    except SourceError as error:
        return {each.intent_id: f"could not be read back: {error}" for each in due}
    return {each.intent_id: seen.get(each.intent_id, "the read-back said nothing about this write") for each in due}


def _show_auth(ledger: Ledger, shop: Shop, kind: WriteKind, changed: Sequence[Intent]) -> None:
    """Open one exception where a key is not accepted for a kind, and close it when that is over."""
    refused = next((each for each in changed if each.state is State.PLANNED and each.root_cause == "auth"), None)
    plans: tuple[ExceptionPlan, ...] = ()
    if refused is not None:
        plans = (
            ExceptionPlan(
                shop=shop.name,
                type="AUTH_FAILED",
                entity={"kind": str(kind)},
                cause="auth",
                message=f"Writes of kind {kind} wait: {refused.last_error}",
                root_cause="auth",
            ),
        )
    if changed:
        ledger.raise_exceptions(shop.name, f"auth/{kind}", plans)
