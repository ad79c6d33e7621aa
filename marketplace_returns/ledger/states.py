"""The life of one write: its states, which may follow which, and what each kind of write allows.

Here live facts about kinds and states only. What must not live here: storage or sending. The invariant: no intent ever
takes a step that is not in ``TRANSITIONS``; the step is checked at run time, in production too.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from marketplace_returns.lanes.plan import DELTA_KEY
from marketplace_returns.settings import WriteKind


class State(StrEnum):
    """Where a write stands. ``PLANNED`` and ``SHADOWED`` never left; ``SENDING`` and ``UNKNOWN`` count as spent."""

    PLANNED = "PLANNED"
    SHADOWED = "SHADOWED"
    SUPERSEDED = "SUPERSEDED"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTED"
    CONFLICT = "CONFLICT"
    CONFIRMED = "CONFIRMED"
    REFLECTED = "REFLECTED"
    SETTLED = "SETTLED"


TRANSITIONS: Final = MappingProxyType(
    {
        # SUPERSEDED: the facts no longer ask for it, or a newer absolute value does.
        # CONFIRMED: the pre-read found it done by somebody else (adopted). CONFLICT, REJECTED: the pre-read forbids it.
        State.PLANNED: frozenset(
            {State.SENDING, State.SHADOWED, State.SUPERSEDED, State.CONFIRMED, State.REJECTED, State.CONFLICT}
        ),
        State.SHADOWED: frozenset({State.PLANNED, State.SUPERSEDED}),
        State.SUPERSEDED: frozenset({State.PLANNED, State.SHADOWED}),
        # PLANNED: nothing left this machine, or it was refused for now (balance, rate).
        State.SENDING: frozenset({State.CONFIRMED, State.REJECTED, State.UNKNOWN, State.PLANNED}),
        # PLANNED: proven not applied. CONFIRMED: found applied (adopted). REJECTED: taken in, and refused afterwards.
        State.UNKNOWN: frozenset({State.CONFIRMED, State.PLANNED, State.CONFLICT, State.REJECTED}),
        # PLANNED: the facts changed, or a person asked for another try.
        State.REJECTED: frozenset({State.PLANNED, State.SHADOWED, State.SUPERSEDED}),
        # A person asked to go on: UNKNOWN where it was sent (it is read back), PLANNED where it never left.
        State.CONFLICT: frozenset({State.UNKNOWN, State.PLANNED}),
        State.CONFIRMED: frozenset({State.REFLECTED}),
        State.REFLECTED: frozenset({State.SETTLED}),
        State.SETTLED: frozenset(),
    }
)

SPENT: Final = frozenset({State.SENDING, State.UNKNOWN, State.CONFIRMED, State.REFLECTED, State.SETTLED})
"""States whose money counts against the caps: the outside has it, or may have it."""

DONE: Final = frozenset({State.CONFIRMED, State.REFLECTED, State.SETTLED})

DRAIN_ORDER: Final = (
    WriteKind.ACCEPT_ORDER,
    WriteKind.CREATE_WAREHOUSE_ORDER,
    WriteKind.CONFIRM_DESPATCH,
    WriteKind.CREATE_PLATFORM_RETURN,
    WriteKind.LINK_RETURN,
    WriteKind.CREATE_EXPECTED_RECEIPT,
    WriteKind.RECEIVE_RETURN,
    WriteKind.REPORT_COMPLIANCE,
    WriteKind.REFUND,
    WriteKind.REPORT_REFUND_OUTCOME,
    WriteKind.RESOLVE_INCIDENT,
    WriteKind.CLOSE_RETURN,
    WriteKind.PUSH_STOCK,
)
"""The order in which due writes leave: what has the shortest clock first."""

REPEATABLE: Final = frozenset(
    {
        WriteKind.ACCEPT_ORDER,
        WriteKind.CREATE_WAREHOUSE_ORDER,
        WriteKind.LINK_RETURN,
        WriteKind.CREATE_EXPECTED_RECEIPT,
        WriteKind.RECEIVE_RETURN,
        WriteKind.REPORT_COMPLIANCE,
        WriteKind.RESOLVE_INCIDENT,
        WriteKind.CLOSE_RETURN,
        WriteKind.PUSH_STOCK,
    }
)
"""Kinds that set a state or a value: a second one changes nothing, so one empty read is proof enough."""

UNKNOWN_MAX: Final = MappingProxyType({kind: 5 if kind in REPEATABLE else 2 for kind in WriteKind})
UNKNOWN_MAX_ONCE: Final = 2
"""How often a write may end unclear before a person must look: by kind, and one that must not be made twice."""


def is_repeatable(kind: WriteKind, natural_key: str) -> bool:
    """Tell whether a second one of this write changes nothing.

    Two of repeatable kinds are not: an addition to stock (C6), and a return opened on the marketplace (C5, RT01), whose key
    is the platform's name and id.
    """
    if kind is WriteKind.LINK_RETURN:
        return ":" not in natural_key
    return kind in REPEATABLE and not natural_key.startswith(DELTA_KEY)


class IllegalStep(AssertionError):
    """A write was to take a step that its state does not allow: a fault of this program, nothing was changed."""


def check_step(intent_id: str, current: State, wanted: State) -> None:
    """Raise IllegalStep unless ``wanted`` may follow ``current``."""
    if wanted not in TRANSITIONS[current]:
        raise IllegalStep(f"intent {intent_id}: {current} may not become {wanted}")
