"""Who is told what, and when.

Here: from which stage on a severity is told now, what channels are set to take, quiet hours, the time of the digest, and when a channel
that failed is tried again. Not here: what was told already, where an alert goes that no channel takes (``ledger.alerts``). The invariants: critical alerts wait for nothing; what is held back is told later, not dropped.

| severity | when it opens | at 50, 80 and 100 % of its clock | in quiet hours |
| --- | --- | --- | --- |
| critical | at once | at once | at once |
| high | at once | at once | after them |
| medium | in the digest | at once | after them |
| low | in the digest | in the digest | after them |
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from marketplace_returns.business_hours import minute_of_day
from marketplace_returns.ledger.alerts import Stage, Takes, Wanted
from marketplace_returns.periods import zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from marketplace_returns.ledger.alerts import ChannelState
    from marketplace_returns.settings import AlertSettings

_AT_ONCE: Final = {"critical": Stage.OPENED, "high": Stage.OPENED, "medium": Stage.HALF}
_DIGEST: Final = {"critical": Stage.OPENED, "high": Stage.OPENED, "medium": Stage.OPENED, "low": Stage.OPENED}
_QUIET: Final = {"critical": Stage.OPENED}
RETRY_FIRST: Final = timedelta(minutes=1)
RETRY_MAX: Final = timedelta(minutes=30)


def is_quiet(settings: AlertSettings, now: datetime) -> bool:
    """Whether only critical alerts are sent now, by the wall clock of the settings' zone."""
    span = settings.quiet_minutes
    if span is None:
        return False
    start, end = span
    minute = _minute(settings, now)
    return start <= minute < end if start < end else minute >= start or minute < end


def digest_due(settings: AlertSettings, state: ChannelState, now: datetime) -> date | None:
    """Return the day whose digest a channel is to have now; None where it had it, it is too early, or it is quiet."""
    today = now.astimezone(zone(settings.time_zone)).date()
    had = state.digest_on is not None and state.digest_on >= today
    if had or _minute(settings, now) < minute_of_day(settings.digest_at) or is_quiet(settings, now):
        return None
    return today


def wanted(
    name: str, settings: AlertSettings, owners: Mapping[str, str], now: datetime, *, with_digest: bool = False
) -> Wanted:
    """Return what a channel may be told now; ``owners`` gives the owner of every exception type."""
    told_from = _QUIET if is_quiet(settings, now) else _DIGEST if with_digest else _AT_ONCE
    takes = {
        other: Takes(frozenset(its.owners), frozenset(its.severities), frozenset(its.shops))
        for other, its in settings.channels.items()
    }
    return Wanted(name, told_from, takes, owners)


def owners_without_channel(settings: AlertSettings, owners: Iterable[str], shop: str) -> list[str]:
    """Return which owners no channel of a shop takes; none where there is no channel at all, which alerts nobody on purpose."""
    of_shop = [its for its in settings.channels.values() if not its.shops or shop in its.shops]
    if not settings.channels or any(not its.owners for its in of_shop):
        return []
    return sorted(set(owners) - {owner for its in of_shop for owner in its.owners})


def retry_after(failures: int) -> timedelta:
    """Return how long a channel is left alone after so many failures in a row: a minute, doubling up to half an hour."""
    return min(RETRY_FIRST * (1 << min(failures, 10)), RETRY_MAX)


def _minute(settings: AlertSettings, now: datetime) -> int:
    wall = now.astimezone(zone(settings.time_zone))
    return wall.hour * 60 + wall.minute
