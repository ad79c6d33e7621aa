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
from typing import Final

from marketplace_returns.clock import Clock
from marketplace_returns.errors import SourceError
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.ledger import Ledger
from marketplace_returns.ledger.outcomes import Executor, NotSent, Outcome, Preparation, ReadBack, Unknown, not_looked
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
class _Deadline:
    """Says whether a further call may begin, so that it ends before the lease does."""

    clock: Clock
    stop_at: datetime

    def __call__(self) -> bool:
        return self.clock.now() <= self.stop_at


def drain(
    ledger: Ledger,
    shop: Shop,
    executors: Mapping[WriteKind, Executor],
    clock: Clock,
    *,
    kinds: Collection[WriteKind] | None = None,
    worker: str,
    limit: int = LIMIT,
) -> DrainResult:
    """Send every due intent of a shop whose kind is live, in ``DRAIN_ORDER``, at most ``limit`` of each kind.

    Several workers may drain one shop at once: leases give every intent to one of them. Kinds that are off or in shadow are
    left alone (R114, R115). Errors of the sources become outcomes; any other error is a fault of this program: what it was
    sending is committed as UNKNOWN and the error goes on.
    """
    ledger.recover()
    result = DrainResult()
    for kind in DRAIN_ORDER:
        executor = executors.get(kind)
        if executor is None or (kinds is not None and kind not in kinds) or shop.write_mode(kind) is not WriteMode.LIVE:
            continue
        _drain_kind(ledger, shop, kind, executor, clock, worker=worker, limit=limit, result=result)
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
            result.add(ledger.settle_read_backs(_look_back(executor, due)))
    return result


def _drain_kind(
    ledger: Ledger,
    shop: Shop,
    kind: WriteKind,
    executor: Executor,
    clock: Clock,
    *,
    worker: str,
    limit: int,
    result: DrainResult,
) -> None:
    left = limit
    while left > 0:
        claimed = ledger.claim(shop.name, kind, worker=worker, limit=min(executor.batch_size, left))
        if not claimed:
            return
        left -= len(claimed)
        stop_at = clock.now() + timedelta(seconds=ledger.lease_s - ledger.call_s_max)
        leaving, kept = ledger.begin(_prepare(executor, claimed), worker=worker)
        result.add(kept)
        ended: list[Intent] = []
        if leaving:
            ended = _send(ledger, executor, leaving, _Deadline(clock, stop_at))
            result.add(ended)
        changed = [*kept, *ended]
        _show_auth(ledger, shop, kind, changed)
        if any(each.state is State.PLANNED and each.root_cause in {"auth", "rate", "time-out"} for each in changed):
            return  # what shut the door for one shuts it for all: the next drain tries again


def _prepare(executor: Executor, claimed: Sequence[Intent]) -> dict[str, Preparation]:
    try:
        prepared = dict(executor.prepare(claimed))
    except SourceError as error:
        return {each.intent_id: not_looked(error) for each in claimed}
    missing = NotSent("the pre-read said nothing about this write")
    return {each.intent_id: prepared.get(each.intent_id, missing) for each in claimed}


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
