"""The CSV dialect of the Peoplevox integration service, both ways.

Answers: a header line, commas, every value in double quotes, dates once more in single quotes as tenant-local
``'dd/MM/yyyy HH:mm'`` without a zone, ``True``/``False`` for flags, and a newline after the last row.
Requests (``CsvData``): any CSV with a header line; quoting is optional, as public clients leave it out.

Invariant: a text written by `render` and read by `parse` gives back the same cells, whatever they contain.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

Value = str | int | bool | datetime | None

DATE_FORMAT = "%d/%m/%Y %H:%M"


class BadCsvError(ValueError):
    """The text is no table: no header, a repeated header, or a row of the wrong width."""


def cell(value: Value, zone: ZoneInfo) -> str:
    """The text of one value, before quoting: instants become tenant-local minutes in single quotes."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"'{value.astimezone(zone).strftime(DATE_FORMAT)}'"
    return str(value)


def render(headers: Sequence[str], rows: Iterable[Sequence[Value]], zone: ZoneInfo) -> str:
    """The whole table as `Detail` carries it."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows([cell(value, zone) for value in row] for row in rows)
    return out.getvalue()


def with_short_row(text: str) -> str:
    """The same table with the last cell of its first row gone, as a broken export has it; unchanged without rows."""
    lines = list(csv.reader(io.StringIO(text)))
    if len(lines) > 1:
        lines[1] = lines[1][:-1]
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    return out.getvalue()


def parse(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """Headers and rows of a `CsvData`; blank lines are skipped, cells and headers are trimmed.

    Raises BadCsvError.
    """
    lines = [line for line in csv.reader(io.StringIO(text)) if any(part.strip() for part in line)]
    if not lines:
        raise BadCsvError("CsvData is empty")
    headers = [header.strip() for header in lines[0]]
    if len(set(headers)) != len(headers):
        raise BadCsvError("a column header is given twice")
    rows = []
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(headers):
            raise BadCsvError(f"row {number} has {len(line)} values for {len(headers)} columns")
        rows.append(dict(zip(headers, (part.strip() for part in line), strict=True)))
    return headers, rows
