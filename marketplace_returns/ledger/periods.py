"""The state of each month of each shop: who prepared it, who approved it, and whether it may still change.

Here live the four states and the checks that others ask for before they change a month. What must not live here: closing or
signing itself. The invariant: a month without a row is OPEN; SIGNED and LOCKED months are not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, select, update

from marketplace_returns.errors import PeriodLocked
from marketplace_returns.ledger import tables
from marketplace_returns.periods import Month


class PeriodState(StrEnum):
    """Where a month stands."""

    OPEN = "OPEN"
    REVIEW = "REVIEW"
    SIGNED = "SIGNED"
    LOCKED = "LOCKED"


PERIOD_STEPS: Final = MappingProxyType(
    {
        PeriodState.OPEN: frozenset({PeriodState.REVIEW}),
        PeriodState.REVIEW: frozenset({PeriodState.SIGNED, PeriodState.OPEN, PeriodState.REVIEW}),
        PeriodState.SIGNED: frozenset({PeriodState.LOCKED, PeriodState.OPEN}),
        PeriodState.LOCKED: frozenset({PeriodState.OPEN}),  # reopened, with a reason
    }
)
FINAL: Final = frozenset({PeriodState.SIGNED, PeriodState.LOCKED})


@dataclass(frozen=True, slots=True)
class Period:
    """One month of one shop."""

    shop: str
    month: Month
    state: PeriodState = PeriodState.OPEN
    prepared_by: str = ""
    prepared_at: datetime | None = None
    approved_by: str = ""
    approved_at: datetime | None = None
    lake_snapshot: str = ""
    manifest_hash: str = ""
    reason: str = ""
    updated_at: datetime | None = None


def period(connection: Connection, shop: str, month: Month) -> Period:
    """Return a month's state; OPEN where nothing was ever said about it."""
    table = tables.periods
    row = connection.execute(select(table).where(table.c.shop == shop, table.c.month == str(month))).mappings().first()
    return Period(shop, month) if row is None else _from_row(row)


def periods(connection: Connection, shop: str) -> list[Period]:
    """Return every month of a shop that has a state, oldest first."""
    table = tables.periods
    rows = connection.execute(select(table).where(table.c.shop == shop).order_by(table.c.month))
    return [_from_row(row) for row in rows.mappings()]


def kept_snapshots(connection: Connection) -> set[int]:
    """Return the snapshots of the lake that hold a closed month of any shop, also of one that is in no settings any more."""
    table = tables.periods
    found = connection.execute(select(table.c.lake_snapshot).where(table.c.lake_snapshot != ""))
    return {int(snapshot) for snapshot in found.scalars()}


def check_open(connection: Connection, shop: str, month: Month) -> None:
    """Raise PeriodLocked where a month is signed or locked."""
    found = period(connection, shop, month)
    if found.state in FINAL:
        raise PeriodLocked(
            f"Month {month} of shop {shop} is {found.state} (approved by {found.approved_by or 'nobody'}): reopen it with a "
            f"reason, or post into {month.next()}."
        )


def step(
    connection: Connection,
    shop: str,
    month: Month,
    state: PeriodState,
    now: datetime,
    *,
    seen: Period | None = None,
    **facts: Any,
) -> Period:
    """Move a month to a state, with who and what.

    Raises:
        PeriodLocked: its state does not allow that step, or it is not what was ``seen`` any more: held in the transaction that moves it.
    """
    table = tables.periods
    place = (table.c.shop == shop, table.c.month == str(month))
    row = connection.execute(select(table).where(*place).with_for_update()).mappings().first()
    found = Period(shop, month) if row is None else _from_row(row)
    if seen is not None and found != seen:
        raise PeriodLocked(
            f"Month {month} of shop {shop} changed while it was looked at: it is {found.state} now, closed by {found.prepared_by or 'nobody'}. "
            f"It was not made {state}: review it as it is now."
        )
    if state not in PERIOD_STEPS[found.state]:
        if state == found.state:
            raise PeriodLocked(f"Month {month} of shop {shop} is {state} already: there is nothing to do.")
        allowed = ", ".join(sorted(PERIOD_STEPS[found.state]))
        raise PeriodLocked(f"Month {month} of shop {shop} is {found.state}: it may become {allowed}, not {state}.")
    values = {"state": state, "updated_at": now, **facts}
    if row is None:
        connection.execute(table.insert().values(shop=shop, month=str(month), **values))
    else:
        connection.execute(update(table).where(*place).values(**values))
    return period(connection, shop, month)


def _from_row(row: Any) -> Period:
    values = dict(row)
    return Period(**{**values, "month": Month.parse(values["month"]), "state": PeriodState(values["state"])})
