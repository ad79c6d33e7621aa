"""A clock that runs while people work: over nights, weekends, holidays and clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace_returns.business_hours import BusinessHours
from marketplace_returns.errors import BadArgument

LONDON = ZoneInfo("Europe/London")
OFFICE = BusinessHours(
    "Europe/London",
    work_days=frozenset(range(5)),
    opens_minute=9 * 60,
    closes_minute=17 * 60 + 30,
    holidays_of="GB-ENG",
    closed_days=frozenset({date(2026, 10, 7)}),
)


def london(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=LONDON)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        (london(2026, 10, 5, 10), 4, london(2026, 10, 5, 14)),
        (london(2026, 10, 5, 16, 30), 4, london(2026, 10, 6, 12)),  # over night
        (london(2026, 10, 5, 16, 30), 10, london(2026, 10, 8, 9, 30)),  # over the closed Wednesday
        (london(2026, 10, 9, 16, 30), 4, london(2026, 10, 12, 12)),  # over the weekend
        (london(2026, 10, 10, 3), 4, london(2026, 10, 12, 13)),  # begins while nobody is there
        (london(2026, 12, 24, 16, 30), 2, london(2026, 12, 29, 10)),  # Christmas, and Boxing Day's substitute on Monday
        (london(2026, 10, 23, 16, 30), 4, london(2026, 10, 26, 12)),  # clocks go back on Sunday
        (london(2026, 10, 5, 9), 8.5, london(2026, 10, 5, 17, 30)),  # a whole day ends with it
        (london(2026, 10, 5, 10), 0, london(2026, 10, 5, 10)),
    ],
)
def test_the_clock_stands_still_while_nobody_works(start: datetime, hours: float, end: datetime) -> None:
    found = OFFICE.after(start, timedelta(hours=hours))
    assert found.astimezone(LONDON) == end
    assert found.tzinfo is UTC


def test_a_day_of_25_hours_has_25_and_one_of_23_has_23() -> None:
    sundays = BusinessHours("Europe/London", work_days=frozenset({6}))
    assert sundays.after(london(2026, 10, 25), timedelta(hours=25)).astimezone(LONDON) == london(2026, 10, 26)
    assert sundays.after(london(2026, 3, 29), timedelta(hours=24)).astimezone(LONDON) == london(2026, 4, 5, 1)


def test_round_the_clock_is_plain_time() -> None:
    start = datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert BusinessHours("Europe/London").after(start, timedelta(hours=48)) == start + timedelta(hours=48)


def test_a_calendar_without_working_time_is_told() -> None:
    closed = BusinessHours("UTC", work_days=frozenset({0}), closed_days=frozenset(_mondays()))
    with pytest.raises(BadArgument, match="no working time within ten years"):
        closed.after(datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1))


def _mondays() -> list[date]:
    return [date(2026, 1, 5) + timedelta(weeks=week) for week in range(530)]


@settings(max_examples=40, deadline=None)
@given(
    zone=st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    opens=st.integers(0, 23 * 4).map(lambda quarter: quarter * 15),
    length=st.integers(1, 24 * 4).map(lambda quarter: quarter * 15),
    start=st.integers(0, 400 * 96),
    quarters=st.integers(0, 12),
)
def test_as_much_working_time_passes_as_was_asked_for(
    zone: str, days: frozenset[int], opens: int, length: int, start: int, quarters: int
) -> None:
    hours = BusinessHours(zone, work_days=days, opens_minute=opens, closes_minute=min(opens + length, 24 * 60))
    begun = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * start)
    ended = hours.after(begun, timedelta(minutes=15 * quarters))
    assert _worked(hours, begun, ended) == quarters
    assert quarters == 0 or _worked(hours, begun, ended - timedelta(minutes=15)) == quarters - 1


def _worked(hours: BusinessHours, begun: datetime, ended: datetime) -> int:
    """Count the working quarters of an hour one by one, each by the wall clock at its start."""
    zone, count, at = ZoneInfo(hours.time_zone), 0, begun
    while at < ended:
        wall = at.astimezone(zone)
        minute = wall.hour * 60 + wall.minute
        count += wall.weekday() in hours.work_days and hours.opens_minute <= minute < hours.closes_minute
        at += timedelta(minutes=15)
    return count
