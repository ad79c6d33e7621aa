"""What a command shows: a document for programs, tables for people, progress beside both.

Here lives the one way a command speaks. The invariant: with ``--json`` standard output holds exactly one JSON document,
and whatever moves or warns goes to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from marketplace_returns.money import to_decimal
from marketplace_returns.periods import Month


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.page = Console(file=sys.stdout, highlight=False, soft_wrap=False)
        self.side = Console(file=sys.stderr, highlight=False)

    def say(self, message: str) -> None:
        """Tell a person something while work goes on (standard error)."""
        self.side.print(message, markup=False)

    def show(self, document: Mapping[str, Any], render: Callable[[Console], None]) -> None:
        """Give the result: the document to programs, or what ``render`` draws to people."""
        if self.as_json:
            sys.stdout.write(msgspec.json.encode(document, enc_hook=str).decode() + "\n")
            return
        render(self.page)

    @contextmanager
    def progress(self, title: str, total: int | None = None) -> Iterator[Callable[[str, int | None], None]]:
        """Draw a progress bar on standard error; the caller names the step and how far it is."""
        columns = (
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[title]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn() if total is not None else TextColumn(""),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self.side, transient=True, disable=not self.side.is_terminal) as bar:
            task = bar.add_task("", total=total, title=title)

            def step(description: str, completed: int | None = None) -> None:
                bar.update(task, description=description, completed=completed)

            yield step


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """Make a table for people; the columns named in ``right`` are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def amount(amount_minor: int | None, currency: str) -> str:
    """Write an amount for people: ``1,234.50 GBP``."""
    return "" if amount_minor is None or not currency else f"{to_decimal(amount_minor, currency):,} {currency}"
