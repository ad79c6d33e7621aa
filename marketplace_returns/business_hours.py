"""When people work: a clock that stands still while nobody is there.

Here: working days, hours and holidays of a shop, and where a clock that only runs in them ends. Not here: whose clock it is, or
how long it runs (the exception catalogue's). The invariant: the time counted is time that passes, so an hour that a clock change
takes away or gives twice is counted as it happened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final

from marketplace_returns.errors import BadArgument
from marketplace_returns.periods import day_bounds, local_day, zone

WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT_MINUTE: Final = 24 * 60
_CLOCK_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
_DAYS_MAX: Final = 3_660
"""A clock that has not ended within ten years never ends: there is no working time."""


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """The working time of a shop, in its own zone; round the clock unless said otherwise.

    ``work_days`` are numbers of the week from 0, Monday. ``opens_minute`` and ``closes_minute`` count from local midnight.
    ``holidays_of`` is a country, or country and part such as ``GB-ENG``, whose public holidays are free.
    """

    time_zone: str
    work_days: frozenset[int] = frozenset(range(7))
    opens_minute: int = 0
    closes_minute: int = MIDNIGHT_MINUTE
    holidays_of: str = ""
    closed_days: frozenset[date] = frozenset()

    @property
    def is_round_the_clock(self) -> bool:
        """Whether the clock never stands still."""
        return (
            len(self.work_days) == len(WEEK)
            and (self.opens_minute, self.closes_minute) == (0, MIDNIGHT_MINUTE)
            and not self.holidays_of
            and not self.closed_days
        )

    def is_work_day(self, day: date) -> bool:
        """Whether anybody works on a day."""
        return (
            day.weekday() in self.work_days
            and day not in self.closed_days
            and not (self.holidays_of and _is_holiday(self.holidays_of, day))
        )

    def after(self, start: datetime, duration: timedelta) -> datetime:
        """Return the UTC instant at which so much working time has passed since ``start``.

        Raises:
            BadArgument: there is no working time within ten years.
        """
        if self.is_round_the_clock:
            return start.astimezone(UTC) + duration
        left = duration
        first = local_day(start, self.time_zone)
        for number in range(_DAYS_MAX):
            day = first + timedelta(days=number)
            if not self.is_work_day(day):
                continue
            opens, closes = self.open_on(day)
            begins = max(opens, start)
            if begins < closes:
                if left <= closes - begins:
                    return begins.astimezone(UTC) + left
                left -= closes - begins
        raise BadArgument(
            f"the calendar of {self.time_zone} leaves no working time within ten years of {start:%Y-%m-%d}"
        )

    def open_on(self, day: date) -> tuple[datetime, datetime]:
        """Return from when until when a working day lasts, as UTC instants."""
        return self._instant(day, self.opens_minute), self._instant(day, self.closes_minute)

    def _instant(self, day: date, minute: int) -> datetime:
        if minute == MIDNIGHT_MINUTE:
            return day_bounds(day, self.time_zone)[1]
        wall = datetime.combine(day, time(minute // 60, minute % 60), tzinfo=zone(self.time_zone))
        return wall.astimezone(UTC)


def minute_of_day(text: str) -> int:
    """Read a time of day such as ``09:30`` as minutes from midnight; ``24:00`` ends a day. ValueError for anything else."""
    found = _CLOCK_TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time of day: write it as 09:30, from 00:00 to 24:00")
    return MIDNIGHT_MINUTE if found[1] is None else int(found[1]) * 60 + int(found[2])


def check_holidays(place: str) -> None:
    """Raise ValueError where the holidays of a place, such as ``GB-ENG``, are not known."""
    import holidays  # noqa: PLC0415 - only where somebody names a country

    country, _, part = place.partition("-")
    try:
        holidays.country_holidays(country, subdiv=part or None, years=2026)
    except NotImplementedError:
        raise ValueError(
            f"{place!r} is no place whose holidays are known: use an ISO code such as GB-ENG, ES or US-NY, or leave it "
            "empty and list closed_days"
        ) from None


@cache
def _holidays(place: str, year: int) -> frozenset[date]:
    import holidays  # noqa: PLC0415 - only where somebody names a country

    country, _, part = place.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))


def _is_holiday(place: str, day: date) -> bool:
    return day in _holidays(place, day.year)
