"""Time as an argument.

Here lives the one way this package learns what time it is. Nothing else calls ``datetime.now``, so that a test or the
sandbox's month can own the time. The invariant: every instant is an aware datetime in UTC.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What tells the time and can wait."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""

    def wait(self, seconds: float) -> None:
        """Let that many seconds pass."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        """Sleep for that many seconds."""
        time.sleep(seconds)


class FixedClock:
    """A clock that stands until it is moved: for tests and for months that are played through quickly."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant.astimezone(UTC)

    def now(self) -> datetime:
        """Return the instant the clock stands at."""
        return self._instant

    def wait(self, seconds: float) -> None:
        """Move the clock forward instead of sleeping."""
        self._instant += timedelta(seconds=seconds)

    def move_to(self, instant: datetime) -> None:
        """Set the clock to an instant (aware)."""
        self._instant = instant.astimezone(UTC)


def microseconds_of(instant: datetime) -> int:
    """Return the microseconds from 1970 to an instant (aware), for where a number is kept or passed on."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant_of(microseconds: int) -> datetime:
    """Return the UTC instant of so many microseconds from 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)
