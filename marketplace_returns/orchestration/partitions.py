"""Days and months of a shop as Dagster partitions.

Here: the partitions and the window a run covers. Not here: cutting instants (``periods``). The invariant: days and months
of a shop are cut in its own time zone, and a window never reaches past now.
"""

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from marketplace_returns.errors import BadArgument
from marketplace_returns.periods import Month
from marketplace_returns.settings import Shop

FIRST_MONTH: Final = Month(2025, 1)
"""The oldest month that can be re-read or closed. Moving it renumbers nothing: keys are dates."""


def days_of(shop: Shop) -> dg.DailyPartitionsDefinition:
    """Return a shop's days, today included."""
    return dg.DailyPartitionsDefinition(
        start_date=FIRST_MONTH.first_day.isoformat(), timezone=shop.time_zone, end_offset=1
    )


def months_of(shop: Shop) -> dg.MonthlyPartitionsDefinition:
    """Return a shop's months as ``2026-10``, the current one included (a month to date)."""
    return dg.MonthlyPartitionsDefinition(
        start_date=str(FIRST_MONTH), fmt="%Y-%m", timezone=shop.time_zone, end_offset=1
    )


def window_of(context: dg.AssetExecutionContext, now: datetime) -> tuple[datetime, datetime]:
    """Return the instants a run's days cover, half-open and in UTC, ending now at the latest.

    Raises:
        BadArgument: the days have not begun.
    """
    window = context.partition_time_window
    # Dagster's bounds are wall-clock times of the shop: only as UTC do they compare with a source's instants.
    start, end = window.start.astimezone(UTC), window.end.astimezone(UTC)
    if start >= now:
        raise BadArgument(f"{context.partition_key_range.start} has not begun: choose days up to today")
    return start, min(end, now)
