"""The returns platforms there are: one entry for each package.

Here: what the rest of the program needs of a platform, by its name in the settings. Not here: how any of it works.
Invariant: a platform that is not named here is refused at start; adding one changes no lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.sources import rebound, returngo, reveni

if TYPE_CHECKING:
    from marketplace_returns.settings import Shop
    from marketplace_returns.sources.budget import Rate
    from marketplace_returns.sources.platform import Creation, OutcomeReport, PlatformWrites


@dataclass(frozen=True, slots=True)
class LookBack:
    """Which returns are read again though nothing tells that they changed.

    Attributes:
        all_younger_than: every return so young, once a day.
        open_younger_than: at every poll one so young that is not inspected and not ended on the marketplace.
    """

    all_younger_than: timedelta
    open_younger_than: timedelta


def _tells_changes(_: Shop) -> None:
    """Say that a platform's returns can be asked for by the time they changed."""


@dataclass(frozen=True, slots=True)
class Platform:
    """One returns platform.

    Attributes:
        connect: makes the client of a shop (shop, timing, budget, clock, log); BadSettings where its secret is missing.
        writes: makes what the executors call from the client.
        creation: builds the body that creates a return.
        outcome: builds the body that tells what came of one.
        needs_reject_reasons: a rejected unit must be told with a code of the platform (reasons.csv, report_compliance).
        look_back: which returns have to be read again without a sign of change; None where the platform tells changes.
        ceilings: how often each operation of a shop may be called; none where the platform publishes no limit.
    """

    connect: Callable[..., Any]
    writes: Callable[[Any], PlatformWrites]
    creation: Creation
    outcome: OutcomeReport
    needs_reject_reasons: bool = False
    look_back: Callable[[Shop], LookBack | None] = _tells_changes
    ceilings: Callable[[Shop], Mapping[str, tuple[Rate, ...]]] | None = None


def _rebound_look_back(shop: Shop) -> LookBack | None:
    """The older API has no filter by change (R31)."""
    settings = shop.returns
    if settings.generation != "legacy_ir":
        return None
    return LookBack(timedelta(days=settings.look_back_days), timedelta(days=settings.open_days))


PLATFORMS: Final[Mapping[str, Platform]] = MappingProxyType(
    {
        "reveni": Platform(
            connect=reveni.connect,
            writes=reveni.ReveniWrites,
            creation=reveni.creation,
            outcome=reveni.outcome,
            needs_reject_reasons=True,
        ),
        "returngo": Platform(
            connect=returngo.connect,
            writes=returngo.ReturnGoWrites,
            creation=returngo.creation,
            outcome=returngo.outcome,
            ceilings=returngo.ceilings,
        ),
        "rebound": Platform(
            connect=rebound.connect,
            writes=rebound.ReboundWrites,
            creation=rebound.creation,
            outcome=rebound.outcome,
            look_back=_rebound_look_back,
            ceilings=rebound.ceilings,
        ),
    }
)
