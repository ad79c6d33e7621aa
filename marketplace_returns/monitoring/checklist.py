"""The daily, weekly and monthly checks of each department's manual: judged by the tables, ticked by people (R38, R42, R93).

Here: when an item is due, when it is in order, and what a tick takes. Not here: what is on the list (``checklist_items``), the tables
themselves, where ticks are kept (the ledger's history). The invariants: an item is in order only where its table says so; nobody can
tick it in order: a tick says who looked, and keeps what the table said.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from marketplace_returns.errors import BadArgument
from marketplace_returns.monitoring.checklist_items import CADENCES, ITEMS, Item
from marketplace_returns.periods import local_day

if TYPE_CHECKING:
    from marketplace_returns.business_hours import BusinessHours
    from marketplace_returns.ledger import Ledger
    from marketplace_returns.monitoring.watch import Seen
    from marketplace_returns.settings import Shop

__all__ = [
    "CADENCES",
    "ITEMS",
    "Item",
    "Judged",
    "Standing",
    "judge",
    "judge_one",
    "refuse_empty_tick",
    "standing",
    "tick",
]

A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Judged:
    """An item with what was found: how many rows speak against it, and one of them."""

    item: Item
    open_rows: int
    example: str

    @property
    def is_in_order(self) -> bool:
        """Whether nothing speaks against it."""
        return self.open_rows == 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether an item was ticked for now: done, due by the end of a day, or overdue since that day."""

    state: Literal["done", "due", "overdue"]
    due_on: date


def judge(seen: Mapping[str, Seen]) -> list[Judged]:
    """Judge every item that has one of these tables by it, as it was seen."""
    return [judge_one(item, seen[item.table]) for item in ITEMS if item.table in seen]


def judge_one(item: Item, seen: Seen) -> Judged:
    """Judge an item by its table as it was seen."""
    against = [row for row in seen.dicts() if item.speaks_against(row)]
    example = ", ".join(str(value) for value in list(against[0].values())[:3]) if against else ""
    return Judged(item, len(against), example)


def tick(ledger: Ledger, shop: str, item: Item, open_rows: int | None, *, by: str, note: str) -> None:
    """Keep that a person made a check; ``open_rows`` is how many rows of its table spoke against it, None where nobody looked.

    Raises:
        BadArgument: as ``refuse_empty_tick``.
    """
    refuse_empty_tick(item, open_rows, note)
    facts = {"item": item.item, "cadence": item.cadence, "open_rows": open_rows or 0}
    ledger.tick(shop, item.key, by=by, note=note.strip(), facts=facts)


def refuse_empty_tick(item: Item, open_rows: int | None, note: str) -> None:
    """Raise BadArgument where the table of a check was not looked at, or rows speak against it and nothing is said of them."""
    if item.table and open_rows is None:
        raise BadArgument(f"look at the table {item.table} first: what it says is kept with your tick")
    if open_rows and not note.strip():
        one = "1 row speaks against it: say what is done about it"
        raise BadArgument(one if open_rows == 1 else f"{open_rows} rows speak against it: say what is done about them")


def standing(
    cadence: str, shop: Shop, *, ticked_at: datetime | None, began_at: datetime | None, now: datetime
) -> Standing:
    """Tell whether a check is due: in the working day, week or month after the one it was ticked in.

    One that nobody ticked yet is due in the first of the shop's history (``began_at``).
    """
    hours = shop.business_hours
    today = local_day(now, hours.time_zone)
    if ticked_at is not None:
        first, last = _unit(cadence, _unit_end(cadence, local_day(ticked_at, hours.time_zone)) + A_DAY, hours)
    else:
        first, last = _unit(cadence, local_day(began_at or now, hours.time_zone), hours)
        first = min(first, today)
    state: Literal["done", "due", "overdue"] = "done" if today < first else "due" if today <= last else "overdue"
    return Standing(state, last)


def _unit(cadence: str, day: date, hours: BusinessHours) -> tuple[date, date]:
    """Return the first and last day of the week or month a day is in, or of the first working day from it on."""
    if cadence == "daily":
        for _ in range(366):
            if hours.is_work_day(day):
                break
            day += A_DAY
        return day, day
    first = day - timedelta(days=day.weekday()) if cadence == "weekly" else day.replace(day=1)
    return first, _unit_end(cadence, day)


def _unit_end(cadence: str, day: date) -> date:
    match cadence:
        case "weekly":
            return day + timedelta(days=6 - day.weekday())
        case "monthly":
            return day.replace(day=calendar.monthrange(day.year, day.month)[1])
        case _:
            return day
