"""The CSV dialect of Peoplevox, both ways.

Answers and exported files: a header line, values in double quotes, dates once more in single quotes as day-first wall
time of the tenant without a zone, and an empty last row. Saves: plain CSV by a real writer, dates as
`yyyy-MM-dd HH:mm:ss`. Not here: which column means what. Invariant: a cell that cannot be read stays the text it was.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

_QUOTED_DATE = re.compile(r"'(\d{1,2}/\d{1,2}/\d{4}(?: \d{1,2}:\d{2}(?::\d{2})?)?)'")
_DATE_FORMATS = ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y")


def read_table(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the captions and the rows of a `Detail`; both empty where there is no text. Raises csv.Error."""
    lines = read_lines(io.StringIO(text, newline=""))
    captions = next(lines, [])
    return captions, list(lines)


def read_lines(source: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines of a table, cells trimmed and dates freed of their single quotes, empty rows left out.

    The first is the header. Raises csv.Error on what is no CSV, such as a NUL character.
    """
    for line in csv.reader(source, strict=False):
        if any(value.strip() for value in line):
            yield [clean_cell(value) for value in line]


def clean_cell(value: str) -> str:
    """Return the cell without padding; single quotes go only around a date, since a text may begin with one."""
    trimmed = value.strip()
    match = _QUOTED_DATE.fullmatch(trimmed)
    return match.group(1) if match else trimmed


def to_utc_text(value: str, zone: ZoneInfo) -> str:
    """Return a tenant-local date as ISO 8601 UTC; any other text is returned as it is.

    The hour that comes twice when summer time ends is read as the earlier one: the report names no zone, and an event
    told too early is re-read by the next overlapping window, one told too late is missed.
    """
    for date_format in _DATE_FORMATS:
        try:
            local = datetime.strptime(value, date_format)  # noqa: DTZ007 - wall time; the zone is put on below
            return local.replace(tzinfo=zone, fold=0).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (ValueError, OverflowError):  # the year 1 may lie before all time in UTC
            continue
    return value


def to_import_date(instant: datetime, zone: ZoneInfo) -> str:
    """Return an aware instant as an import template takes it: tenant-local `yyyy-MM-dd HH:mm:ss`.

    Empty on the first and last day of the calendar, which have no local time everywhere: such an instant says nothing.
    """
    try:
        return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return ""


def write_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write the `CsvData` of a save."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return out.getvalue()
