"""The lanes' health as a page shows it: writes, the freshness of each stream, and the call budget.

Here: asking for each of these without the lake, at a cost that does not grow with the history. Not here: what a row of writes means
(``monitoring/lane_health.sql``, the same as Dagster's asset), how often a stream is polled (the caller gives it). The invariant:
looking changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from marketplace_returns.lake.connection import open_memory
from marketplace_returns.monitoring import look, stage
from marketplace_returns.monitoring.watch import HEALTH_OVER, Seen
from marketplace_returns.sources.mirakl.frequencies import ceilings

if TYPE_CHECKING:
    from marketplace_returns.ledger import Ledger
    from marketplace_returns.settings import Shop

LATE_AFTER_POLLS: Final = 4
STALE_AFTER_POLLS: Final = 12
"""As many missed polls make a stream late, then stale: where Dagster's freshness of the stream's asset warns and fails."""
CALLS_OVER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Freshness:
    """A stream: up to when it was read, when, how often it is polled; ``state`` is fresh, late, stale or never."""

    stream: str
    read_until: datetime | None
    read_at: datetime | None
    poll_every: timedelta
    state: str


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one operation within the last hour. ``ceiling`` is what may be made in that time; 0 where nothing is published."""

    system: str
    operation: str
    calls: int
    refused: int
    ceiling: int

    @property
    def percent(self) -> int:
        """How much of the ceiling is used."""
        return 100 * self.calls // self.ceiling if self.ceiling else 0


@dataclass(frozen=True, slots=True)
class Health:
    """How a shop's lanes fare now."""

    shop: str
    writes: Seen
    streams: tuple[Freshness, ...]
    calls: tuple[Calls, ...]


def health(ledger: Ledger, shop: Shop, streams: Iterable[tuple[str, timedelta]], now: datetime) -> Health:
    """Return how a shop's lanes fare; ``streams`` are its streams with how often each is polled."""
    writes, cases = ledger.lately(shop.name, now - HEALTH_OVER)
    with closing(open_memory()) as con:
        stage(con, writes, cases)
        seen = look(con, "lane_health", shop, now)
    return Health(
        shop.name,
        seen,
        tuple(freshness(ledger.cursors(shop.name), streams, now)),
        tuple(_calls(ledger, shop, now)),
    )


def freshness(
    cursors: Mapping[str, tuple[datetime, datetime]], streams: Iterable[tuple[str, timedelta]], now: datetime
) -> list[Freshness]:
    """Return how fresh each stream is, by when it was last read."""
    found = []
    for name, poll_every in streams:
        read_until, read_at = cursors.get(name, (None, None))
        if read_at is None:
            state = "never"
        elif now - read_at > poll_every * STALE_AFTER_POLLS:
            state = "stale"
        else:
            state = "late" if now - read_at > poll_every * LATE_AFTER_POLLS else "fresh"
        found.append(Freshness(name, read_until, read_at, poll_every, state))
    return found


def _calls(ledger: Ledger, shop: Shop, now: datetime) -> Sequence[Calls]:
    rates = ceilings(shop.mirakl.call_profile)
    found = []
    for system, operation, calls, refused in ledger.calls_since(shop.name, now - CALLS_OVER):
        allowed = [
            int(rate.calls * max(1, CALLS_OVER.total_seconds() // rate.window_s))
            for rate in (rates.get(operation, ()) if system == "mirakl" else ())
        ]
        found.append(Calls(system, operation, calls, refused, min(allowed, default=0)))
    return found
