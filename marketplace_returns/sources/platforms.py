"""The returns platforms there are: one entry for each package.

Here: what the rest of the program needs of a platform, by its name in the settings. Not here: how any of it works.
Invariant: a platform that is not named here is refused at start; adding one changes no lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.sources import reveni

if TYPE_CHECKING:
    from marketplace_returns.settings import Shop
    from marketplace_returns.sources.budget import Rate
    from marketplace_returns.sources.platform import Creation, OutcomeReport, PlatformWrites


@dataclass(frozen=True, slots=True)
class Platform:
    """One returns platform.

    Attributes:
        connect: makes the client of a shop (shop, timing, budget, clock, log); BadSettings where its secret is missing.
        writes: makes what the executors call from the client.
        creation: builds the body that creates a return.
        outcome: builds the body that tells what came of one.
        needs_reject_reasons: a rejected unit must be told with a code of the platform (reasons.csv, report_compliance).
        ceilings: how often each operation of a shop may be called; none where the platform publishes no limit.
    """

    connect: Callable[..., Any]
    writes: Callable[[Any], PlatformWrites]
    creation: Creation
    outcome: OutcomeReport
    needs_reject_reasons: bool = False
    ceilings: Callable[[Shop], Mapping[str, tuple[Rate, ...]]] | None = None


PLATFORMS: Final[Mapping[str, Platform]] = MappingProxyType(
    {
        "reveni": Platform(
            connect=reveni.connect,
            writes=reveni.ReveniWrites,
            creation=reveni.creation,
            outcome=reveni.outcome,
            needs_reject_reasons=True,
        ),
    }
)
