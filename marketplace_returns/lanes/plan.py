"""What a lane hands over: plans of writes and of exceptions.

Here live the facts that cross the border from a pure decision (a lane) to the ledger. No state, no identifiers of the
ledger, no sending. The invariant: a plan is the same for the same model, so that proposing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal

from marketplace_returns.errors import BadArgument
from marketplace_returns.settings import WriteKind

NATURAL_KEY_MAX: Final = 400  # three names of `lake.limits.NAME_CHARACTERS_MAX` and what is between them
"""Longest natural key in characters; ids of the outside systems stay far below it."""

DELTA_KEY: Final = "delta:"
"""How the natural key of a stock push begins that adds to a quantity instead of setting it; the rest names the event (C6)."""

LATE_LABEL: Final = "/label"
"""How the natural key of a return's link ends that writes the label which the platform gave only after the return was linked (R117)."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentPlan:
    """One write to the outside that the model says is needed.

    The ledger knows it by ``(shop, kind, natural_key)`` and keeps the first one; ``body`` is exactly what is sent and
    holds no personal data, ``evidence`` says which facts ask for it. ``amount_minor`` is in ``currency``'s minor unit
    and includes tax (refunds only, else 0 and ""). ``not_before`` holds the write back; a higher ``priority`` goes
    first within its kind.

    Raises:
        BadArgument: an empty or too long natural key, a naive ``not_before``, an amount without a currency.
    """

    shop: str
    kind: WriteKind
    natural_key: str
    body: Mapping[str, Any]
    evidence: Mapping[str, Any]
    order_id: str = ""
    order_line_id: str = ""
    return_id: str = ""
    return_unit_id: str = ""
    amount_minor: int = 0
    currency: str = ""
    not_before: datetime | None = None
    priority: int = 0

    def __post_init__(self) -> None:
        where = f"Intent plan {self.kind} {self.natural_key!r} of shop {self.shop!r}"
        if not 0 < len(self.natural_key) <= NATURAL_KEY_MAX:
            raise BadArgument(f"{where}: the natural key must have 1 to {NATURAL_KEY_MAX} characters.")
        if self.not_before is not None and self.not_before.tzinfo is None:
            raise BadArgument(f"{where}: not_before has no time zone; give an aware datetime in UTC.")
        if self.amount_minor and not self.currency:
            raise BadArgument(f"{where}: an amount without a currency; give both.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionPlan:
    """One thing a person must look at, seen by a lane.

    ``entity`` names what it is about by stable ids (``{"order_id": ..., "order_line_id": ...}``); with ``shop``,
    ``type`` and ``cause`` it makes the fingerprint, so ``cause`` must not hold clocks or counts. ``message`` says where
    and what to mend. ``amount_minor`` is the money at risk in ``currency``. ``due_at`` overrides the type's own clock.
    ``root_cause`` is mapping, auth, rate, time-out, validation, balance, permission, bug or "". ``severity`` is empty
    where the catalogue's own counts. ``happened`` is given where the cause is an event that can never un-happen (a parcel
    left): its facts by line, parcel and unit. Once a person has resolved such an exception it stays resolved, until ``happened``
    or the money changes; one without it opens again for as long as it is seen.

    Raises:
        BadArgument: an empty type or entity, a naive ``due_at``, an amount without a currency.
    """

    shop: str
    type: str
    entity: Mapping[str, str]
    cause: str
    message: str
    amount_minor: int = 0
    currency: str = ""
    evidence: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    due_at: datetime | None = None
    root_cause: str = ""
    severity: Literal["", "low", "medium", "high", "critical"] = ""
    happened: str = ""

    def __post_init__(self) -> None:
        where = f"Exception plan {self.type!r} of shop {self.shop!r}"
        if not self.type or not self.entity:
            raise BadArgument(f"{where}: it needs a type and at least one id of what it is about.")
        if self.due_at is not None and self.due_at.tzinfo is None:
            raise BadArgument(f"{where}: due_at has no time zone; give an aware datetime in UTC.")
        if self.amount_minor and not self.currency:
            raise BadArgument(f"{where}: an amount without a currency; give both.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneDecision:
    """All that one lane wants for one shop now.

    ``exceptions`` is complete: what the lane no longer names, the ledger closes. ``considered`` counts the model rows
    the lane looked at, so that rows in = planned + excepted + nothing to do can be reported.
    """

    lane: str
    shop: str
    intents: tuple[IntentPlan, ...]
    exceptions: tuple[ExceptionPlan, ...]
    considered: int
