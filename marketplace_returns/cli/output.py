"""What a command shows: a document for programs, tables for people, progress beside both.

Here lives the one way a command speaks. The invariant: with ``--json`` standard output holds exactly one JSON document,
and whatever moves or warns goes to standard error; no text of a source is read as markup.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from marketplace_returns.lake.tables import Kind
from marketplace_returns.money import amount_text, to_decimal


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # no markup: an order number or a source's words may hold square brackets
        self.page = Console(file=sys.stdout, highlight=False, soft_wrap=False, markup=False, emoji=False)
        self.side = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)

    def say(self, message: str) -> None:
        """Tell a person something while work goes on (standard error)."""
        self.side.print(message)

    def show(self, document: Mapping[str, Any], render: Callable[[Console], None]) -> None:
        """Give the result: the document to programs, or what ``render`` draws to people."""
        if self.as_json:
            sys.stdout.write(as_json_text(document) + "\n")
            return
        render(self.page)

    @contextmanager
    def progress(self, title: str, total: int | None = None) -> Iterator[Callable[[str, int | None], None]]:
        """Draw a progress bar on standard error; the caller names the step and how far it is."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.fields[title]}", style="bold", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn() if total is not None else TextColumn(""),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        with Progress(*columns, console=self.side, transient=True, disable=not self.side.is_terminal) as bar:
            task = bar.add_task("", total=total, title=title)

            def step(description: str, completed: int | None = None) -> None:
                bar.update(task, description=description, completed=completed)

            yield step


def as_json_text(value: object) -> str:
    """Write a value as JSON, as one line for people or programs."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    wrap: Sequence[str] = (),
) -> Table:
    """Make a table for people; the columns named in ``right`` are numbers, only those in ``wrap`` break at words.

    Meant for 80 columns: the others keep their width as long as those in ``wrap`` can give way.
    """
    made = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        made.add_column(
            column, justify="right" if column in right else "left", no_wrap=column not in wrap, overflow="fold"
        )
    for row in rows:
        made.add_row(*("" if cell is None else cell if isinstance(cell, Text) else str(cell) for cell in row))
    return made


def amount(amount_minor: int | None, currency: str) -> str:
    """Write an amount for people: ``1,234.50 GBP``."""
    return amount_text(amount_minor, currency) if currency else ""


def moment(instant: datetime | None) -> str:
    """Write a UTC instant for people: ``2026-10-31 14:05``."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M}"


def cell(value: object, kind: Kind, currency: str) -> str:
    """Write a value of a declared column for people: money as decimals, instants as their UTC day."""
    match value:
        case None:
            return ""
        case datetime():
            return f"{value:%Y-%m-%d}"
        case int() if kind is Kind.MONEY:
            return f"{to_decimal(value, currency):,}"
        case _:
            return str(value)
