"""What came of a call.

Here lives the one decision what a status or a broken connection means. What must not live here: waiting, retrying or
sending. The invariant: a call counts as refused or as not sent only where nothing can have been applied; every doubt is
``UNKNOWN``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

import httpx

RETRY_AFTER_S_MAX = 86_400.0


class Outcome(StrEnum):
    """What is known about one attempt."""

    ANSWERED = "answered"
    REFUSED = "refused"
    AUTH_FAILED = "auth_failed"
    RATE_LIMITED = "rate_limited"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


_REFUSALS = frozenset({400, 403, 404, 405, 406, 409, 410, 415, 422})
_ANSWERS = frozenset({200, 201, 202, 204})


def classify(*, status: int | None = None, is_readable: bool = True, failure: Exception | None = None) -> Outcome:  # noqa: PLR0911 - a return per rule
    """Say what an attempt came to, from its HTTP status or from the exception that ended it.

    ``is_readable`` says whether the body was of the agreed form (an empty one is, where the API answers without a
    body). The rules are those a refund needs, the strictest there are: see R48 and G1 (Mirakl has no idempotency
    key).
    """
    if failure is not None:
        # Connect refused, DNS, TLS, no free connection: these end before the request line is written.
        if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return Outcome.NOT_SENT
        # Read or write time-out, reset (also of a kept-alive connection), body cut short: bytes may have arrived and may
        # have been acted on.
        return Outcome.UNKNOWN
    if status in _ANSWERS:
        # 200, 201, 202, 204: done, if we can read what was done. A cut or foreign body leaves us not knowing.
        return Outcome.ANSWERED if is_readable else Outcome.UNKNOWN
    if status == httpx.codes.UNAUTHORIZED:
        # 401 is decided before anything else is looked at, by whatever stands in front: nothing applied.
        return Outcome.AUTH_FAILED
    if status == httpx.codes.TOO_MANY_REQUESTS:
        # 429 is the door, not the room: nothing applied.
        return Outcome.RATE_LIMITED
    if status in _REFUSALS and is_readable:
        # 403: the key may not do this. The others: the system itself says no and why (Mirakl: state conflicts are 400).
        return Outcome.AUTH_FAILED if status == httpx.codes.FORBIDDEN else Outcome.REFUSED
    # 5xx: may have been applied before it failed. 3xx: somebody else answered. 408, 499 and other 4xx, or a refusal in a
    # form the system does not speak (a proxy's page): nobody knows what the system did.
    return Outcome.UNKNOWN


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Read ``Retry-After`` (whole seconds, or an HTTP date) as seconds from ``now``, or None when absent or unreadable."""
    if header is None:
        return None
    if header.strip().isdigit():
        return min(float(header), RETRY_AFTER_S_MAX)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)
