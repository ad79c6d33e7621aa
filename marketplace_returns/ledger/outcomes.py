"""What can come of one write, and what an executor must be able to do.

Here live the outcomes of the pre-read, of the send and of the read-back, and the one decision what an error of a source
means for a write. What must not live here: storage. The invariant: only what is certain not to have been applied is
called ``NotSent`` or ``Rejected``; every doubt is ``Unknown``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from marketplace_returns.errors import (
    AuthFailed,
    RateLimited,
    SourceError,
    SourceRefused,
    SourceUnreachable,
)

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent

UNREACHABLE_WAIT_S: Final = 60.0
AUTH_WAIT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The pre-read allows the write; ``baseline`` is what the outside showed just before (for the read-back)."""

    baseline: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """The outside shows the effect already, so nothing is sent; ``exception_type`` where a person should know."""

    ref: str = ""
    detail: str = ""
    exception_type: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The write must not leave until a person looked."""

    exception_type: str
    message: str
    root_cause: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The outside said that it was done; ``ref`` is its id of the effect. ``is_adopted``: it was done before."""

    ref: str = ""
    request_id: str = ""
    is_adopted: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The outside refused and applied nothing. ``retry_after_s`` parks it for another try; None is final.

    ``exception_type`` is the type to open; empty for the kind's own. ``root_cause`` as in ``ExceptionPlan``.
    """

    code: str
    message: str
    root_cause: str = "validation"
    exception_type: str = ""
    retry_after_s: float | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing left this machine, or the door was shut (401, 429): to be tried after ``retry_after_s``."""

    reason: str
    retry_after_s: float = UNREACHABLE_WAIT_S
    root_cause: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something was sent and no clear answer came: spent until a read-back says otherwise.

    ``ref`` is the outside's id of what it took in and has not done yet, for the read-back to ask for.
    """

    reason: str
    request_id: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The read-back sees the effect; ``ref`` is the outside's id of it."""

    ref: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """The read-back does not see the effect. ``is_fresh`` is False where the read may be older than the send."""

    is_fresh: bool = True


@dataclass(frozen=True, slots=True)
class Conflicting:
    """The read-back sees something that fits neither: a person must look."""

    detail: str


Preparation = Ready | AlreadyDone | Blocked | Rejected | NotSent
Outcome = Confirmed | Rejected | NotSent | Unknown
ReadBack = Found | Absent | Conflicting | Rejected


class Executor(Protocol):
    """How one kind of write is prepared, sent and read back. Made by ``executors.build``."""

    @property
    def batch_size(self) -> int:
        """How many intents are claimed, prepared and sent together."""

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Look at the outside just before; one preparation per intent id. Raises SourceError where it cannot look."""

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Send each intent's body once and say what came of it, by intent id.

        Before each further call it asks ``may_start``; where that says no (the lease nears its end) the rest is NotSent.
        An intent without an outcome counts as Unknown.
        """

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """Look whether unclear writes were applied, by intent id; ``Rejected`` where the outside refused what it had taken in.

        Raises SourceError where it cannot look.
        """


def outcome_of(error: SourceError) -> Rejected | NotSent | Unknown:
    """Say what an error of the one call that writes means for the write (R15, R39, R48)."""
    if isinstance(error, AuthFailed) and error.status == 403:
        return Rejected("403", str(error), "permission", request_id=error.request_id)
    if isinstance(error, RateLimited | AuthFailed | SourceUnreachable):
        return not_looked(error)
    if isinstance(error, SourceRefused):
        return Rejected(str(error.status or ""), str(error), "validation", request_id=error.request_id)
    # OutcomeUnknown; ContractBroken and anything new too: an answer came that we cannot read, so it may have been applied.
    return Unknown(str(error), error.request_id)


def not_looked(error: SourceError) -> NotSent:
    """Say what an error of a read before the write means: nothing was sent, try later."""
    if isinstance(error, RateLimited):
        return NotSent(str(error), error.retry_after_s, "rate", error.request_id)
    if isinstance(error, AuthFailed):
        return NotSent(str(error), AUTH_WAIT_S, "auth", error.request_id)
    return NotSent(str(error), UNREACHABLE_WAIT_S, "time-out", error.request_id)


def send_each(
    intents: Iterable[Intent], send_one: Callable[[Intent], Outcome], may_start: Callable[[], bool]
) -> dict[str, Outcome]:
    """Send intents one call after another; an error of the source becomes that intent's outcome.

    After the first NotSent the rest is not tried: what shut the door for one shuts it for all.
    """
    outcomes: dict[str, Outcome] = {}
    closed: NotSent | None = None
    for intent in intents:
        if closed is not None:
            outcomes[intent.intent_id] = closed
            continue
        if not may_start():
            closed = NotSent("the batch was stopped before this write began", 0.0)
            outcomes[intent.intent_id] = closed
            continue
        try:
            outcome = send_one(intent)
        except SourceError as error:
            outcome = outcome_of(error)
        outcomes[intent.intent_id] = outcome
        if isinstance(outcome, NotSent):
            closed = outcome
    return outcomes
