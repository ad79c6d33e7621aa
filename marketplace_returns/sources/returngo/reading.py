"""Which RMAs a poll reads in detail, one call each.

Here: the rule by which every change is read soon, none is missed, and none costs many calls. Not here: paths
(``client``), the numbers of the day (``calls``), where it is kept what was read (the lake's ``Memory``). Invariant: an RMA
that was ever listed is read, and is read again until it has an end status and was read an hour or more after its last
update.

A poll of the window (from, until] reads, in this order:

1. what was updated since ``from``, less two minutes for clocks that differ. Where a long window was begun before (a first
   load goes on for days), RMAs that were read in it are read again only if they changed since;
2. once an hour what was updated in the last 95 minutes as far as that is news: a change that became visible late;
3. RMAs that are not at rest, the one read longest ago first, as many as the day's plan has for this poll: a shipment's
   change does not move ``lastUpdated`` (a documented example shows it), and a late change of a known RMA is found too.

At rest is an RMA with an end status that was read an hour or more after its last update. The look back is that hour and the
35 minutes that other clients of the API look back, so a change that shows at most 35 minutes late is found by 2 or by 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from marketplace_returns.sources.returngo.calls import CallPlan

SKEW = timedelta(minutes=2)
REST_AFTER = timedelta(hours=1)
LOOK_BACK = REST_AFTER + timedelta(minutes=35)
LONG_WINDOW = timedelta(minutes=15)  # longer than a poll's: an earlier poll of it failed, or it is the first
RESUMED_WITHIN = timedelta(days=31)  # how long a first load may go on, a day's calls a day
POLL_IS_NOW = timedelta(
    minutes=10
)  # a window that ended longer ago is a backfill, which reads nothing again by the plan

Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Known:
    """When an RMA was read last, and what it then said when it was updated."""

    read_at: datetime
    updated_at: datetime


class Memory(Protocol):
    """What the lake knows of RMAs."""

    def known(self, rma_ids: Sequence[str]) -> Mapping[str, Known]:
        """Return what is known of each of the RMAs; those never read are absent."""

    def not_at_rest(self, limit: int) -> Sequence[str]:
        """Return RMAs that are not at rest, the one read longest ago first."""


def ids_to_read(
    window: Window, now: datetime, listed_since: Callable[[datetime], list[str]], memory: Memory, plan: CallPlan
) -> Iterator[str]:
    """Yield the RMAs to read, each once; ``listed_since`` gives the ids of those updated at or after an instant."""
    after, until = window
    seen: set[str] = set()
    for rma_id in _changed(window, now, listed_since, memory):
        if rma_id not in seen:
            seen.add(rma_id)
            yield rma_id
    if now - until > POLL_IS_NOW:
        return
    if _hour(after) != _hour(until):
        listed = [rma_id for rma_id in listed_since(until - LOOK_BACK) if rma_id not in seen]
        known = memory.known(listed)
        for rma_id in dict.fromkeys(listed):
            if rma_id not in known or known[rma_id].updated_at < until - LOOK_BACK:
                seen.add(rma_id)
                yield rma_id
    due = plan.rereads_due(after, until)
    if due:
        # those just read may not be in the lake yet, so more are asked for than are due
        oldest = [rma_id for rma_id in memory.not_at_rest(due + len(seen)) if rma_id not in seen]
        yield from oldest[:due]


def _changed(window: Window, now: datetime, listed_since: Callable[[datetime], list[str]], memory: Memory) -> list[str]:
    listed = listed_since(window[0] - SKEW)
    if now - window[0] < LONG_WINDOW:
        return listed
    bound = max(window[0] + LONG_WINDOW, now - RESUMED_WITHIN)
    lately = {rma_id: known.read_at for rma_id, known in memory.known(listed).items() if known.read_at >= bound}
    if not lately:
        return listed
    changed = set(listed_since(min(lately.values()) - SKEW))
    return [rma_id for rma_id in listed if rma_id not in lately or rma_id in changed]


def _hour(instant: datetime) -> int:
    return int(instant.timestamp()) // 3600
