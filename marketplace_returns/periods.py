"""Days and months of a shop.

Here: how a shop's time zone cuts instants into days and accounting months. Not here: period states (the ledger's) or
anything that asks the clock. The invariant: bounds are half-open UTC instants, so that every instant lies in exactly
one day and one month, also when a clock change makes a day of 23 or 25 hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marketplace_returns.errors import BadArgument

_MONTH_TEXT: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_YEAR_MIN: Final = 1970
_YEAR_MAX: Final = 9000


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One calendar month, the accounting period of a shop; written ``2026-10``."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (_YEAR_MIN <= self.year <= _YEAR_MAX and 1 <= self.month <= 12):
            raise BadArgument(f"month {self.year:04d}-{self.month:02d} is not a month: give one such as 2026-10")

    @classmethod
    def parse(cls, text: str) -> Month:
        """Return the month written as ``YYYY-MM``; BadArgument for anything else."""
        matched = _MONTH_TEXT.fullmatch(text.strip())
        if matched is None:
            raise BadArgument(f"month {text!r} is not written as YYYY-MM: give one such as 2026-10")
        return cls(int(matched[1]), int(matched[2]))

    @property
    def first_day(self) -> date:
        """The first day of the month."""
        return date(self.year, self.month, 1)

    @property
    def last_day(self) -> date:
        """The last day of the month."""
        return self.next().first_day - timedelta(days=1)

    def next(self) -> Month:
        """Return the month after this one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def previous(self) -> Month:
        """Return the month before this one."""
        before = self.first_day - timedelta(days=1)
        return Month(before.year, before.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def month_bounds(month: Month, time_zone: str) -> tuple[datetime, datetime]:
    """Return the month's start and end as UTC instants, end excluded; BadArgument for an unknown time zone."""
    return _start_of(month.first_day, time_zone), _start_of(month.next().first_day, time_zone)


def day_bounds(day: date, time_zone: str) -> tuple[datetime, datetime]:
    """Return the day's start and end as UTC instants, end excluded; BadArgument for an unknown time zone."""
    return _start_of(day, time_zone), _start_of(day + timedelta(days=1), time_zone)


def local_day(instant: datetime, time_zone: str) -> date:
    """Return the day an aware instant lies in; BadArgument for a naive one or an unknown time zone."""
    if instant.tzinfo is None:
        raise BadArgument(f"instant {instant.isoformat()} has no time zone: pass an aware datetime")
    return instant.astimezone(zone(time_zone)).date()


def month_of(instant: datetime, time_zone: str) -> Month:
    """Return the month an aware instant lies in; BadArgument for a naive one or an unknown time zone."""
    day = local_day(instant, time_zone)
    return Month(day.year, day.month)


def _start_of(day: date, time_zone: str) -> datetime:
    """Return the first instant of a day, also where the clocks skip midnight (fold 0 reads it as before)."""
    return datetime.combine(day, time.min, tzinfo=zone(time_zone)).astimezone(UTC)


@lru_cache(maxsize=64)
def zone(time_zone: str) -> ZoneInfo:
    """Return the zone of an IANA name; BadArgument for an unknown one."""
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadArgument(f"time zone {time_zone!r} is not known: use an IANA name, such as Europe/London") from None
