"""Call-frequency ceilings, on the world's clock.

Here: how many calls of an operation lie in its windows. Not here: the ceilings themselves (mirakl_operations.py). Invariant: a refused
call does not count.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from marketplace_returns.sandbox.mirakl_operations import Operation


class Frequencies:
    """The recent calls of one shop per operation."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[datetime]] = {}

    def wait_s(self, operation: Operation, now: datetime) -> int:
        """Whole seconds to wait before this call is allowed; 0 when it is, and then it is counted."""
        if not operation.ceilings:
            return 0
        calls = self._calls.setdefault(operation.code, deque(maxlen=max(count for count, _ in operation.ceilings)))
        wait = 0.0
        for count, window_s in operation.ceilings:
            if len(calls) >= count:
                free_at = calls[-count] + timedelta(seconds=window_s)
                wait = max(wait, (free_at - now).total_seconds())
        if wait > 0:
            return max(1, round(wait))
        calls.append(now)
        return 0
