"""Taking out of extract files what nothing reads, in the rows of some objects.

Here: which cells of a file make an object, and the file without those that make no difference to what is read of it. Not here: whose
objects are meant, what is read of one (the caller judges both), writing files. The invariants: what is read of every object is the
same after; all other rows stay byte for byte; a row that cannot be read stays as it is.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from marketplace_returns.errors import ContractBroken
from marketplace_returns.sources.extracts import DAY_EXPORTS, PEOPLEVOX_STREAMS, DayExport, peoplevox_template
from marketplace_returns.sources.peoplevox import captions
from marketplace_returns.sources.peoplevox.dialect import clean_cell

if TYPE_CHECKING:
    from marketplace_returns.settings import WarehouseSettings

_LINE = re.compile(r"[^\n]*\n|[^\n]+")

ReadOf = Callable[[str, dict[str, Any]], bytes | None]
"""Gives what is read of an object of a stream (``reveni/return``), or None where the object is not meant."""


@dataclass
class _Row:
    """One row of a file: its lines, and its cells as they are to be."""

    first: int
    last: int
    cells: list[str]
    key_place: int = -1
    """Where it names the row it belongs to, which makes no part of the object."""
    is_changed: bool = False


@dataclass
class _File:
    """A file cut into rows; ``header`` trimmed, as the reading of it does."""

    path: Path
    raw: bytes
    lines: list[str]
    header: list[str] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, content: bytes) -> _File:
        file = cls(path, content, _LINE.findall(content.decode("utf-8-sig")))
        for first, last, cells in _records(file.lines):
            if not file.header:
                file.header = [cell.strip() for cell in cells]
            elif len(cells) == len(file.header):
                file.rows.append(_Row(first, last, cells))
        return file

    def dict_of(self, row: _Row) -> dict[str, str]:
        return dict(zip(self.header, (cell.strip() for cell in row.cells), strict=True))

    def content(self) -> bytes:
        """Return the file with its changed rows written anew, in the line ends it has."""
        lines: list[str] = list(self.lines)
        end = "\r\n" if lines[0].endswith("\r\n") else "\n"
        for row in self.rows:
            if row.is_changed:
                written = io.StringIO()
                csv.writer(written, lineterminator=end).writerow(row.cells)
                lines[row.first : row.last] = [written.getvalue(), *[""] * (row.last - row.first - 1)]
        return (codecs.BOM_UTF8 if self.raw.startswith(codecs.BOM_UTF8) else b"") + "".join(lines).encode()


@dataclass(frozen=True)
class Blanked:
    """A file as it was read, and as it is to be."""

    path: Path
    before: bytes
    after: bytes


def blanked(
    paths: Sequence[Path],
    system: str,
    warehouse: WarehouseSettings | None,
    *,
    content_of: Callable[[Path], bytes | None],
    read_of: ReadOf,
) -> Iterator[Blanked]:
    """Yield the files of a system's folder that hold more of an object that is meant than is read, without it.

    ``content_of`` gives a file's content, or None where it is to be left alone. A file that is no extract of the system, that
    cannot be read, or a day's file without its other is left out.
    """
    if system == captions.SYSTEM:
        for path in paths:
            content = content_of(path)
            if content is not None:
                yield from _peoplevox(path, content, warehouse, read_of)
    elif system in DAY_EXPORTS:
        export = DAY_EXPORTS[system]
        for pair in _days(paths, export):
            contents = [content_of(pair[part]) for part in (export.returns, export.items)]
            if None not in contents:
                yield from _day(export, pair, [content or b"" for content in contents], read_of)


def _days(paths: Sequence[Path], export: DayExport) -> list[dict[str, Path]]:
    days: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        match = export.name.fullmatch(path.name)
        if match is not None:
            days[match[2]][match[1].lower()] = path
    return [pair for _, pair in sorted(days.items()) if {export.returns, export.items} <= set(pair)]


def _day(export: DayExport, pair: Mapping[str, Path], contents: Sequence[bytes], read_of: ReadOf) -> Iterator[Blanked]:
    try:
        returns, items = map(_File.read, (pair[export.returns], pair[export.items]), contents)
    except UnicodeDecodeError:
        return
    if export.key not in returns.header or export.item_key not in items.header:
        return
    items_of: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in items.rows:
        row.key_place = items.header.index(export.item_key)
        items_of[items.dict_of(row)[export.item_key]].append(row)
    for row in returns.rows:
        of_return = items_of[returns.dict_of(row)[export.key]]

        def made(row: _Row = row, of_return: Collection[_Row] = of_return) -> bytes | None:
            found = export.make(returns.dict_of(row), [items.dict_of(each) for each in of_return])
            return read_of(f"{export.system}/return", found)

        _blank([row, *of_return], made)
    yield from _changed(returns, items)


def _peoplevox(path: Path, content: bytes, warehouse: WarehouseSettings | None, read_of: ReadOf) -> Iterator[Blanked]:
    template = peoplevox_template(path.name)
    if template is None:
        return
    zone = ZoneInfo(warehouse.time_zone if warehouse is not None else "UTC")
    try:
        file = _File.read(path, content)
        reading = captions.read_captions(template, file.header, warehouse.captions if warehouse is not None else {})
    except (UnicodeDecodeError, ContractBroken):
        return
    numbers = captions.RowNumbers(template)
    for row in file.rows:
        row_no = numbers.number([reading.row([clean_cell(cell) for cell in row.cells], zone)])[0].get("row_no")

        def made(row: _Row = row, row_no: object = row_no) -> bytes | None:
            found = reading.row([clean_cell(cell) for cell in row.cells], zone)
            return read_of(PEOPLEVOX_STREAMS[template], found if row_no is None else found | {"row_no": row_no})

        _blank([row], made)
    yield from _changed(file)


def _blank(rows: Collection[_Row], made: Callable[[], bytes | None]) -> None:
    """Empty each cell that makes no difference to what is read of the object its rows make."""
    before = made()
    if before is None:
        return
    for row in rows:
        for place, cell in enumerate(row.cells):
            if not cell.strip() or place == row.key_place:
                continue
            row.cells[place] = ""
            if made() == before:
                row.is_changed = True
            else:
                row.cells[place] = cell


def _changed(*files: _File) -> Iterator[Blanked]:
    for file in files:
        if any(row.is_changed for row in file.rows):
            yield Blanked(file.path, file.raw, file.content())


def _records(lines: list[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the first line, the one after the last, and the cells of each row; none of what is no row."""
    reader = csv.reader(iter(lines), strict=True)
    while True:
        first = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue
        if any(cell.strip() for cell in cells):
            yield first, reader.line_num, cells
