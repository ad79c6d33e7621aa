"""Monitoring tables as they were looked at last, kept a while: making one takes the longer the more the shop has sold.

Here: what is kept, for how long, who saw it, and how many rows spoke against each check of the checklist. Not here: making a table. The
invariants: what is kept is never shown as newer than it is; it is kept in this process only, a few tables and so many rows of each.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from marketplace_returns.clock import Clock
from marketplace_returns.monitoring.checklist import ITEMS, judge_one
from marketplace_returns.monitoring.watch import Seen

KEPT_FOR: Final = timedelta(minutes=30)
TABLES_KEPT: Final = 40
ROWS_KEPT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A table as it was at an instant; of more than ``ROWS_KEPT`` rows the first, which are the worst."""

    seen: Seen
    at: datetime
    rows: int
    against: Mapping[str, int]
    """How many rows, of all, speak against each check that the table judges, by the check's key."""
    seen_by: set[str] = field(default_factory=set)


class KeptTables:
    """The tables that were looked at lately; safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Kept] = {}

    def find(self, shop: str, table: str) -> Kept | None:
        """Return a table of a shop as it was lately; None where it has to be looked at."""
        with self._lock:
            found = self._kept.get((shop, table))
            if found is not None and self._clock.now() - found.at >= KEPT_FOR:
                del self._kept[shop, table]
                return None
            return found

    def keep(self, shop: str, seen: Seen, at: datetime) -> Kept:
        """Keep a table as it was looked at just now; the oldest one goes where there are too many."""
        against = {item.key: judge_one(item, seen).open_rows for item in ITEMS if item.table == seen.name}
        cut = Seen(seen.name, seen.columns, seen.rows[:ROWS_KEPT])
        made = Kept(cut, at, len(seen.rows), against)
        with self._lock:
            self._kept[shop, seen.name] = made
            while len(self._kept) > TABLES_KEPT:
                del self._kept[min(self._kept, key=lambda key: self._kept[key].at)]
        return made
