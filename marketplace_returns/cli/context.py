"""What most commands begin with: the settings, an opened installation, the shops that are meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Final
from uuid import uuid4

from marketplace_returns.clock import Clock
from marketplace_returns.errors import BadArgument
from marketplace_returns.orchestration.app import App
from marketplace_returns.periods import Month
from marketplace_returns.settings import load_settings

DAY_FIRST: Final = date(2000, 1, 1)
DAY_LAST: Final = date(2100, 12, 31)


@contextmanager
def opened(clock: Clock | None = None) -> Iterator[App]:
    """Open the installation that the settings describe, and close it at the end."""
    app = App.open(load_settings(), clock)
    try:
        yield app
    finally:
        app.close()


def shops(app: App, shop: str | None) -> list[str]:
    """Return the one shop that was named, or all of them where none was; BadArgument for one there is not, such as an empty name."""
    return [app.shop(shop).name] if shop is not None else sorted(app.settings.shops)


def run_id(command: str) -> str:
    """Name a run of a command, for snapshots and leases."""
    return f"{command}-{uuid4().hex[:12]}"


def month_of(text: str) -> Month:
    """Read ``--month``."""
    return Month.parse(text)


def day_of(name: str, text: str) -> date:
    """Read the day of an option such as ``--from``; the shop's zone is put to it later."""
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a local day, without a zone
    except ValueError:
        raise BadArgument(f"{name} {text!r} is not a day: write it as 2026-10-01") from None
    if not DAY_FIRST <= day <= DAY_LAST:
        raise BadArgument(f"{name} {text} is no day any shop was open: give one from {DAY_FIRST} to {DAY_LAST}")
    return day
