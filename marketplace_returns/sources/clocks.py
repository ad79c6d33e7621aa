"""What time an outside system says it is.

Here: one request without a key, for its Date header only. Not here: what is made of it. The invariant: nothing of ours is
sent and nothing of the answer but its date is used.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from marketplace_returns.clock import Clock
    from marketplace_returns.settings import Timing


def ahead_by(
    base_url: str, timing: Timing, clock: Clock, transport: httpx.BaseTransport | None = None
) -> timedelta | None:
    """Return how far a system's clock is ahead of ``clock`` (to the second); None where it tells none or does not answer."""
    limits = httpx.Timeout(timing.read_time_out_s, connect=timing.connect_time_out_s)
    try:
        with httpx.Client(timeout=limits, follow_redirects=False, transport=transport) as client:
            asked_at = clock.now()
            with client.stream("GET", base_url) as answer:
                answered_at = clock.now()
                told = parsedate_to_datetime(answer.headers["Date"])
    except (httpx.HTTPError, KeyError, ValueError):
        return None
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    return told - (asked_at + (answered_at - asked_at) / 2)
