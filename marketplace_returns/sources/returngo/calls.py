"""How the calls of a day are spent: 2,000 a day and 100 a second for whatever is asked, unless a higher quota is set.

Here: the ceilings, and the plan that shares a day out among polls, RMAs that changed, RMAs read again, and urgent calls.
Not here: counting (``sources/budget.py``), which RMA is read (``reading``). Invariant: what is read again by the plan never
takes the calls that changes and writes need.

The plan is needed because a list row tells almost nothing, so that every change costs a call of its own, and because a
shipment's change does not move ``lastUpdated``: every open RMA is read again, the one read longest ago first, at most
``rereads_per_day`` a day, evenly over the day. With the defaults:

    2,000 calls = 312 lists (one a poll, one more an hour) + 500 urgent + 500 read again + 688 changes

so 250 open RMAs are read again twice a day, 500 once, 1,000 every second day. A shop with more open RMAs, or more than 688
changes a day, asks ReturnGO for a higher quota and sets ``calls_per_day`` and ``rereads_per_day``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from marketplace_returns.sources.budget import Rate, SingleCeiling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marketplace_returns.settings import ReturnsSettings, Shop
    from marketplace_returns.sources.budget import Budget

ANY_OPERATION = "returngo"
DAY = timedelta(days=1)
LISTS_PER_DAY = 288 + 24  # a poll every five minutes, and once an hour the look back


def ceilings(shop: Shop) -> Mapping[str, tuple[Rate, ...]]:
    """Return the ceilings of a shop's key; urgent calls (writes and the search before one) have a share of the day."""
    settings = shop.returns
    a_day = Rate(settings.calls_per_day, DAY.total_seconds(), reserved=settings.urgent_calls_per_day)
    return {ANY_OPERATION: (a_day, Rate(settings.calls_per_second, 1.0))}


def key_budget(budget: Budget) -> Budget:
    """Return a budget made with ``ceilings`` as the one ceiling of every operation."""
    return SingleCeiling(budget, ANY_OPERATION)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How many calls of a day go where."""

    calls_per_day: int
    urgent_per_day: int
    rereads_per_day: int

    @classmethod
    def of(cls, settings: ReturnsSettings) -> CallPlan:
        """Return the plan of a shop."""
        return cls(settings.calls_per_day, settings.urgent_calls_per_day, settings.rereads_per_day)

    @property
    def changes_per_day(self) -> int:
        """How many changes of RMAs can be read in a day when everything else is used in full."""
        return self.calls_per_day - self.urgent_per_day - self.rereads_per_day - LISTS_PER_DAY

    def rereads_due(self, after: datetime, until: datetime) -> int:
        """Return how many RMAs to read again in a poll at ``until`` whose poll before was at ``after``.

        Over any day of polls, however they lie, they add up to ``rereads_per_day``; a pause is made up for by a day's at most.
        """
        after = max(after, until - DAY)
        return max(0, self._share(until) - self._share(after))

    def reread_every(self, open_rmas: int) -> timedelta:
        """Return how long it takes until every one of so many open RMAs was read again."""
        return DAY * open_rmas / self.rereads_per_day if self.rereads_per_day else timedelta.max

    def _share(self, instant: datetime) -> int:
        return int(instant.timestamp()) * self.rereads_per_day // 86_400
