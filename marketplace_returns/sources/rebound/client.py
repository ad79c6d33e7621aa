"""The client of a shop's ReBound account, of whichever generation.

Here: what both generations do for us, and which one a shop has. Not here: how (`legacy`, `current`). Invariant: whoever calls
does not know the generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from marketplace_returns.sources.budget import SingleCeiling
from marketplace_returns.sources.http import HttpSource
from marketplace_returns.sources.rebound.current import CurrentClient
from marketplace_returns.sources.rebound.door import Door
from marketplace_returns.sources.rebound.legacy import LegacyClient
from marketplace_returns.sources.rebound.session import Session
from marketplace_returns.sources.rebound.throttle import ANY_OPERATION, SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import httpx

    from marketplace_returns.clock import Clock
    from marketplace_returns.settings import Shop, Timing
    from marketplace_returns.sources.budget import Budget
    from marketplace_returns.sources.http import CallLog


class ReboundClient(Protocol):
    """One account: errors are those of `HttpSource`, objects have the shape of `layout`."""

    def close(self) -> None:
        """Close the connections."""

    def returns(self, since: datetime, until: datetime) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of what the generation can find by time: created then (legacy_ir), changed since (v2)."""

    def returns_by_id(self, return_ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the returns with those ids; one that is gone is left out."""

    def find_by_key(self, key: str, order_id: str) -> list[str]:
        """Return the ids of every return that stands under our key."""

    def create_return(self, body: Mapping[str, Any]) -> str:
        """Create a return, without looking for one that is there, and give its id."""


def connect(
    shop: Shop,
    *,
    timing: Timing,
    budget: Budget,
    clock: Clock,
    log: CallLog,
    transport: httpx.BaseTransport | None = None,
) -> ReboundClient:
    """Make the client of a shop's account; raises BadSettings where the key (v2: the client's secret) is missing.

    Every operation counts against one ceiling of `budget` (see `throttle`).
    """
    settings = shop.returns
    account_budget = SingleCeiling(budget, ANY_OPERATION)
    http = HttpSource(
        SYSTEM,
        settings.base_url,
        {},
        timing=timing,
        budget=account_budget,
        clock=clock,
        log=log,
        shop=shop.name,
        transport=transport,
        secrets=(settings.secret(),),
    )
    if settings.generation == "v2":
        return CurrentClient(settings, Session(settings, http))
    return LegacyClient(settings, Door(settings, http, account_budget))
