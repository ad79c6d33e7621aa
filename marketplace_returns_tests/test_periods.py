"""Days and months: every instant lies in exactly one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_returns.errors import BadArgument
from marketplace_returns.periods import Month, day_bounds, local_day, month_bounds, month_of

zones = st.sampled_from(["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
months = st.builds(Month, st.integers(1990, 2080), st.integers(1, 12))


def test_month_is_written_as_year_and_month() -> None:
    assert str(Month.parse("2026-10")) == "2026-10"
    assert Month.parse("2026-02").last_day == date(2026, 2, 28)
    assert Month.parse("2028-02").last_day == date(2028, 2, 29)


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "26-10", "2026/10", "", "2026-10-01", "0000-01", "٢٠٢٦-10"])
def test_text_that_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(BadArgument, match="2026-10"):
        Month.parse(text)


@given(months)
def test_next_and_previous_undo_each_other(month: Month) -> None:
    assert month.next().previous() == month
    assert month.next() > month
    assert month.next().first_day - month.last_day == timedelta(days=1)


@given(months, zones)
def test_months_follow_on_without_gap_or_overlap(month: Month, zone: str) -> None:
    start, end = month_bounds(month, zone)
    assert end == month_bounds(month.next(), zone)[0]
    assert start.tzinfo is UTC
    assert month_of(start, zone) == month
    assert month_of(end - timedelta(microseconds=1), zone) == month


@given(st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC)), zones)  # noqa: DTZ001
def test_every_instant_lies_within_the_bounds_of_its_day(instant: datetime, zone: str) -> None:
    start, end = day_bounds(local_day(instant, zone), zone)
    assert start <= instant < end


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_a_clock_change_makes_a_shorter_or_longer_day(day: date, hours: int) -> None:
    start, end = day_bounds(day, "Europe/London")
    assert end - start == timedelta(hours=hours)


def test_day_whose_midnight_is_skipped_starts_with_its_first_instant() -> None:
    start, end = day_bounds(date(2018, 11, 4), "America/Sao_Paulo")
    assert start == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert local_day(start, "America/Sao_Paulo") == date(2018, 11, 4)
    assert end - start == timedelta(hours=23)


def test_late_summer_evening_belongs_to_the_local_day() -> None:
    assert local_day(datetime(2026, 6, 30, 23, 30, tzinfo=UTC), "Europe/London") == date(2026, 7, 1)
    assert month_of(datetime(2026, 6, 30, 23, 30, tzinfo=UTC), "Europe/London") == Month(2026, 7)


def test_naive_instant_and_unknown_zone_are_refused() -> None:
    with pytest.raises(BadArgument, match="no time zone"):
        local_day(datetime(2026, 1, 1), "UTC")  # noqa: DTZ001
    with pytest.raises(BadArgument, match="IANA"):
        day_bounds(date(2026, 1, 1), "Mars/Olympus")
