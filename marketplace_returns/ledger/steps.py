"""What a write becomes after each thing that happens to it.

Here live pure steps: an intent and what happened in, the intent as it then is and what a person must know out. What must
not live here: the database and the outside. The invariants: every step is checked against ``states.TRANSITIONS``; an unclear
outcome counts as spent until a read-back proves otherwise; absence is proven by fresh reads far enough apart, never by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from marketplace_returns.errors import BadArgument
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger.alarms import alarm
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Blocked,
    Confirmed,
    Conflicting,
    Found,
    NotSent,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    Unknown,
)
from marketplace_returns.ledger.states import DONE, UNKNOWN_MAX, UNKNOWN_MAX_ONCE, State, check_step, is_repeatable
from marketplace_returns.settings import Timing, WriteKind

READ_BACK_HOURLY_S: Final = 3600
UNKNOWN_FOR_MAX: Final = timedelta(hours=24)
"""After this long unclear a person must look (the bounded automatic phase of R48)."""

ERROR_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Step:
    """An intent after a step, and the exception that is now open for it, if any."""

    intent: Intent
    alarm: ExceptionPlan | None = None


def after_prepare(intent: Intent, preparation: Preparation, now: datetime) -> Step:
    """Take the step that a pre-read asks for; ``Ready`` is the step into SENDING (attempt n+1, with its baseline)."""
    match preparation:
        case Ready(baseline):
            return Step(
                _to(
                    intent,
                    State.SENDING,
                    now,
                    lease=True,
                    attempt_count=intent.attempt_count + 1,
                    baseline=dict(baseline),
                    external_ref="",
                    sent_at=now,
                    read_back_at=None,
                    read_back_count=0,
                    first_empty_read_at=None,
                    root_cause="",
                    last_error="",
                )
            )
        case AlreadyDone(ref, detail, exception_type):
            done = _confirmed(intent, ref, now, is_adopted=True)
            return Step(done, alarm(done, exception_type, detail) if exception_type else None)
        case Blocked(exception_type, message, root_cause):
            blocked = _to(intent, State.CONFLICT, now, root_cause=root_cause, last_error=message)
            return Step(blocked, alarm(blocked, exception_type, message))
        case Rejected():
            return _rejected(intent, preparation, now)
        case NotSent():
            return Step(_parked(intent, preparation.reason, preparation.root_cause, preparation.retry_after_s, now))


def is_awaited(intent: Intent, outcome: Outcome) -> bool:
    """Tell whether a write takes an answer of its newest try; the less is open, the more the answer must say."""
    match intent.state:
        case State.SENDING:
            return True
        case State.UNKNOWN:
            return not isinstance(outcome, Unknown)
        case State.PLANNED:  # read back as not applied, and it was
            return isinstance(outcome, Confirmed)
        case _:
            return False


def told_too_late(intent: Intent, outcome: Outcome, attempt: int) -> list[ExceptionPlan]:
    """Return what a person must know of an answer that the write takes no more: that it was made, perhaps once more."""
    if not isinstance(outcome, Confirmed) or (outcome.ref and outcome.ref == intent.external_ref):
        return []
    if intent.state in DONE and is_repeatable(intent.kind, intent.natural_key):
        return []
    detail = (
        f"try {attempt} was answered late: it was made as {outcome.ref or 'asked'}, and the ledger had gone on to "
        f"{intent.state}{f' as {intent.external_ref}' if intent.external_ref else ''}; see whether it was made twice"
    )
    return [alarm(intent, "REFUND_CONFLICT" if intent.kind is WriteKind.REFUND else "", detail)]


def after_send(intent: Intent, outcome: Outcome, now: datetime, timing: Timing) -> Step:
    """Take the step that an answer asks for (``is_awaited``): UNKNOWN where its lease ran out meanwhile."""
    match outcome:
        case Confirmed(ref, _, is_adopted):
            return Step(_confirmed(intent, ref, now, is_adopted=is_adopted))
        case Rejected():
            if intent.state is State.UNKNOWN:  # a late answer: certain at last that nothing was applied
                return Step(_parked(intent, outcome.message, outcome.root_cause, 0.0, now))
            return _rejected(intent, outcome, now)
        case NotSent():
            return Step(_parked(intent, outcome.reason, outcome.root_cause, outcome.retry_after_s, now))
        case Unknown(reason, _, ref):
            return unclear(intent, reason, now, timing, ref=ref)


def unclear(intent: Intent, reason: str, now: datetime, timing: Timing, *, ref: str = "") -> Step:
    """Let a write that was sent without a clear answer become UNKNOWN, to be read back on schedule.

    ``ref`` is what the outside calls this try, where it said so.
    """
    sent_at = intent.sent_at or now
    unknown = _to(
        intent,
        State.UNKNOWN,
        now,
        unknown_count=intent.unknown_count + 1,
        read_back_at=max(now, sent_at + timedelta(seconds=timing.read_back_after_s[0])),
        external_ref=ref,
        root_cause="" if ref else "time-out",
        last_error=reason,
    )
    return Step(unknown, _unknown_alarm(unknown, reason))


def after_read_back(intent: Intent, seen: ReadBack, now: datetime, timing: Timing) -> Step:
    """Take the step that a read-back of an UNKNOWN write asks for (reliability rules, section 3 step 6)."""
    match seen:
        case Found(ref):
            return Step(_confirmed(intent, ref, now, is_adopted=True))
        case Conflicting(detail):
            return _conflict(intent, detail, now)
        case Rejected():
            return _rejected(intent, seen, now)
        case Absent(is_fresh):
            return _absent(intent, now, timing, is_fresh=is_fresh)


def after_failed_read_back(intent: Intent, reason: str, now: datetime, timing: Timing) -> Step:
    """Keep a write UNKNOWN whose read-back could not be made; it is tried again on schedule, for a day at most."""
    return _absent(replace(intent, last_error=reason[:ERROR_MAX]), now, timing, is_fresh=False)


def seen(intent: Intent, state: State, now: datetime) -> Step | None:
    """Move a done write on to REFLECTED or SETTLED, through what lies between; None where it is there already."""
    order = (State.CONFIRMED, State.REFLECTED, State.SETTLED)
    if intent.state not in order or order.index(intent.state) >= order.index(state):
        return None
    while intent.state is not state:
        following = order[order.index(intent.state) + 1]
        if following is State.REFLECTED:
            intent = _to(intent, following, now, reflected_at=now)
        else:
            intent = _to(intent, following, now, settled_at=now)
    return Step(intent)


def retried(intent: Intent, now: datetime) -> Step:
    """Go on because a person asked: never a blind send, only the next look (pre-read or read-back) at once.

    Raises BadArgument where the write is done, superseded or on its way.
    """
    match intent.state:
        case State.CONFLICT if intent.attempt_count:
            return Step(_to(intent, State.UNKNOWN, now, read_back_at=now, read_back_count=0, first_empty_read_at=None))
        case State.CONFLICT | State.REJECTED:
            return Step(_to(intent, State.PLANNED, now, not_before=None, root_cause="", last_error=""))
        case State.PLANNED:
            return Step(replace(intent, not_before=None, updated_at=now))
        case State.UNKNOWN:
            return Step(replace(intent, read_back_at=now, updated_at=now), _unknown_alarm(intent, intent.last_error))
        case _:
            raise BadArgument(f"Write {intent.intent_id} is {intent.state}: there is nothing to retry.")


def _absent(intent: Intent, now: datetime, timing: Timing, *, is_fresh: bool) -> Step:
    sent_at = intent.sent_at or now
    first_empty = intent.first_empty_read_at
    if is_fresh:
        may_repeat = is_repeatable(intent.kind, intent.natural_key)
        is_proven = may_repeat or (
            first_empty is not None and now - first_empty >= timedelta(seconds=timing.not_applied_after_s)
        )
        if is_proven:
            if intent.unknown_count >= (UNKNOWN_MAX[intent.kind] if may_repeat else UNKNOWN_MAX_ONCE):
                return _conflict(intent, "ended unclear again after it was proven not applied", now)
            return Step(_to(intent, State.PLANNED, now, not_before=None, read_back_at=None, first_empty_read_at=None))
        first_empty = first_empty or now
    # A fresh look that found nothing earns the second one, also where looks are rarer than a day.
    if now - sent_at >= UNKNOWN_FOR_MAX and not is_fresh:
        return _conflict(intent, f"still unclear {UNKNOWN_FOR_MAX.days * 24} h after it was sent", now)
    count = intent.read_back_count + 1
    later = replace(
        intent,
        read_back_count=count,
        first_empty_read_at=first_empty,
        read_back_at=_next_read_back(intent, first_empty, count, now, timing),
        updated_at=now,
        lease_owner="",
        lease_until=None,
    )
    return Step(later, _unknown_alarm(later, later.last_error))


def _next_read_back(
    intent: Intent, first_empty: datetime | None, count: int, now: datetime, timing: Timing
) -> datetime:
    schedule = timing.read_back_after_s
    sent_at = intent.sent_at or now
    if count < len(schedule):
        planned = sent_at + timedelta(seconds=schedule[count])
    elif first_empty is not None and count == len(schedule):
        # A schedule shorter than the proof needs is stretched by one read, not by an hour.
        planned = first_empty + timedelta(seconds=timing.not_applied_after_s)
    else:
        planned = now + timedelta(seconds=READ_BACK_HOURLY_S)
    return planned if planned > now else now + timedelta(seconds=schedule[0])


def _confirmed(intent: Intent, ref: str, now: datetime, *, is_adopted: bool) -> Intent:
    return _to(
        intent,
        State.CONFIRMED,
        now,
        external_ref=ref or intent.external_ref,
        is_adopted=is_adopted,
        confirmed_at=now,
        read_back_at=None,
        not_before=None,
        root_cause="",
        last_error="",
    )


def _rejected(intent: Intent, outcome: Rejected, now: datetime) -> Step:
    if outcome.retry_after_s is not None:
        # R101: parked with a clock, shown to its owner, never a hot loop.
        parked = _parked(intent, outcome.message, outcome.root_cause, outcome.retry_after_s, now)
        return Step(parked, alarm(parked, outcome.exception_type, outcome.message))
    refused = _to(intent, State.REJECTED, now, root_cause=outcome.root_cause, last_error=outcome.message)
    return Step(refused, alarm(refused, outcome.exception_type, outcome.message))


def _parked(intent: Intent, reason: str, root_cause: str, retry_after_s: float, now: datetime) -> Intent:
    not_before = now + timedelta(seconds=retry_after_s) if retry_after_s > 0 else None
    facts: dict[str, Any] = {
        "not_before": not_before,
        "read_back_at": None,
        "root_cause": root_cause,
        "last_error": reason[:ERROR_MAX],
    }
    if intent.state is State.PLANNED:
        return replace(intent, updated_at=now, lease_owner="", lease_until=None, **facts)
    return _to(intent, State.PLANNED, now, **facts)


def _conflict(intent: Intent, detail: str, now: datetime) -> Step:
    stuck = _to(intent, State.CONFLICT, now, read_back_at=None, last_error=detail)
    return Step(stuck, alarm(stuck, "REFUND_CONFLICT" if intent.kind is WriteKind.REFUND else "", detail))


def _unknown_alarm(intent: Intent, reason: str) -> ExceptionPlan | None:
    """Show an unclear refund at once; the other kinds settle by themselves and alarm when they do not."""
    return alarm(intent, "REFUND_UNKNOWN", reason) if intent.kind is WriteKind.REFUND else None


def _to(intent: Intent, state: State, now: datetime, *, lease: bool = False, **facts: Any) -> Intent:
    check_step(intent.intent_id, intent.state, state)
    if "last_error" in facts:
        facts["last_error"] = facts["last_error"][:ERROR_MAX]
    if not lease:
        facts |= {"lease_owner": "", "lease_until": None}
    return replace(intent, state=state, updated_at=now, **facts)
