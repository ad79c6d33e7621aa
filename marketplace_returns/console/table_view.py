"""A table of any columns as a page and as a CSV file: which rows, in which order, and how a cell is written.

The invariants: money is written in major units of its own currency; a text of a CSV is never a formula to a spreadsheet.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any, Final
from urllib.parse import urlencode

from marketplace_returns.console.rendering import moment, words
from marketplace_returns.errors import BadArgument
from marketplace_returns.money import amount_text, to_decimal
from marketplace_returns.monitoring.watch import Seen

ROWS_SHOWN: Final = 100
FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these would be a formula to a spreadsheet."""
_MONEY: Final = "_minor"
_LOOKED_UP: Final = ("order_id", "order_line_id", "return_id", "return_unit_id")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for, and in which order; an empty text asks for all, in the table's own order."""

    text: str = ""
    state: str = ""
    sort: str = ""
    is_down: bool = False
    first: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell, and where it leads."""

    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, how its head reads, and whether numbers stand in it."""

    name: str
    title: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class View:
    """Some rows of a table as a page shows them; ``matching`` is how many there are of these."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    matching: int
    states: tuple[str, ...]


def view(seen: Seen, wanted: Wanted, currency: str) -> View:
    """Return the rows that are asked for; ``currency`` is that of amounts of rows that name none. BadArgument for an unknown column."""
    rows = _chosen(seen, wanted)
    is_said = any(name.endswith(_MONEY) for name in seen.columns)  # each amount says its currency itself
    places = [place for place, name in enumerate(seen.columns) if not (is_said and name == "currency")]
    columns = tuple(
        Column(seen.columns[place], _title(seen.columns[place]), _is_number(seen, place)) for place in places
    )
    shown = rows[wanted.first : wanted.first + ROWS_SHOWN]
    at = seen.columns.index("state") if "state" in seen.columns else None
    states = () if at is None else tuple(dict.fromkeys(str(row[at]) for row in seen.rows))
    cells = (_cells(seen, row, currency) for row in shown)
    return View(columns, tuple(tuple(row[place] for place in places) for row in cells), len(rows), states)


def as_csv(seen: Seen, wanted: Wanted, currency: str) -> str:
    """Return all rows that are asked for as CSV: exact amounts, instants in ISO form."""
    written = StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow([name.removesuffix(_MONEY) for name in seen.columns])
    for row in _chosen(seen, wanted):
        of = _currency(seen, row, currency)
        writer.writerow([_plain(name, value, of) for name, value in zip(seen.columns, row, strict=True)])
    return written.getvalue()


def _chosen(seen: Seen, wanted: Wanted) -> list[tuple[Any, ...]]:
    rows: Sequence[tuple[Any, ...]] = seen.rows
    if wanted.state and "state" in seen.columns:
        at = seen.columns.index("state")
        rows = [row for row in rows if row[at] == wanted.state]
    if wanted.text:
        looked_for = wanted.text.casefold()
        rows = [row for row in rows if any(isinstance(cell, str) and looked_for in cell.casefold() for cell in row)]
    if not wanted.sort:
        return list(rows)
    if wanted.sort not in seen.columns:
        raise BadArgument(f"{seen.name} has no such column to sort by: choose one of its heads")
    at = seen.columns.index(wanted.sort)
    there = sorted((row for row in rows if row[at] is not None), key=lambda row: row[at], reverse=wanted.is_down)
    return [*there, *(row for row in rows if row[at] is None)]


def _cells(seen: Seen, row: tuple[Any, ...], currency: str) -> tuple[Cell, ...]:
    of = _currency(seen, row, currency)
    return tuple(_cell(name, value, of) for name, value in zip(seen.columns, row, strict=True))


def _cell(name: str, value: Any, currency: str) -> Cell:
    link = ""
    if name == "exception_id" and value is not None:
        link = f"/exceptions/{value}"
    elif name in _LOOKED_UP and value:
        link = f"/orders?{urlencode({'number': value})}"
    return Cell(_shown(name, value, currency), link)


def _shown(name: str, value: Any, currency: str) -> str:
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case int() if name.endswith(_MONEY):
            text = amount_text(value, currency)
        case int() | Decimal() if not name.endswith("_id"):
            text = f"{value:,}"
        case datetime():
            text = moment(value)
        case str() if name == "entity":
            text = ", ".join(f"{words(part)} {about}" for part, about in json.loads(value).items())
        case _:  # a date too
            text = str(value)
    return text


def _plain(name: str, value: Any, currency: str) -> str:
    match value:
        case None:
            return ""
        case int() if name.endswith(_MONEY):
            return str(to_decimal(value, currency))
        case bool():
            return str(value).lower()
        case datetime():
            return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
        case str():
            return f"'{value}" if value.startswith(FORMULA_SIGNS) else value
        case _:
            return str(value)


def _currency(seen: Seen, row: tuple[Any, ...], otherwise: str) -> str:
    return (row[seen.columns.index("currency")] if "currency" in seen.columns else "") or otherwise


def _title(name: str) -> str:
    if name.endswith("_at"):
        return f"{words(name.removesuffix('_at'))} (UTC)"
    return words(name.removesuffix(_MONEY))


def _is_number(seen: Seen, index: int) -> bool:
    name = seen.columns[index]
    value = next((row[index] for row in seen.rows if row[index] is not None), None)
    return isinstance(value, int | Decimal | float) and not isinstance(value, bool) and not name.endswith("_id")
