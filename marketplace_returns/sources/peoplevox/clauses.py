"""Search clauses: what GetData and GetReportData filter by.

Here: the text of a clause from values, escaped. Not here: which filter a poll needs. A field of GetData is a bare name,
a column of a report is a caption in brackets. Invariant: no value can end its literal and become part of the clause,
and a window written as wall time holds every instant of the window it stands for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from marketplace_returns.errors import BadArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

KEYS_MAX = 100  # longer OR chains are known to fail
_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def bare(name: str) -> str:
    """Return a field of a GetData clause. Raises BadArgument for a name that would need brackets."""
    if not _BARE_NAME.fullmatch(name):
        raise BadArgument(f"{name!r} is no field name: use letters, digits and underscores, as in SalesOrderNumber")
    return name


def caption(name: str) -> str:
    """Return a column of a report clause. Raises BadArgument for a caption that holds a bracket."""
    if not name or "[" in name or "]" in name:
        raise BadArgument(f"{name!r} cannot be a caption of a clause: rename the report's column without brackets")
    return f"[{name}]"


def equals(field: str, value: str) -> str:
    """Return the clause `field` is exactly `value`; a line break in a value becomes a blank."""
    literal = " ".join(value.splitlines()).replace("\\", "\\\\").replace('"', '\\"')
    return f'{field}.Equals("{literal}")'


def any_of(field: str, values: Sequence[str]) -> str:
    """Return the clause `field` is one of the values. Raises BadArgument for none or more than `KEYS_MAX`."""
    if not 0 < len(values) <= KEYS_MAX:
        raise BadArgument(f"{len(values)} values for {field}: give 1 to {KEYS_MAX} in one clause")
    return " OR ".join(equals(field, value) for value in values)


def chunks(values: Iterable[str]) -> Iterator[list[str]]:
    """Yield the distinct non-empty values in their order, at most `KEYS_MAX` at a time."""
    distinct = [value for value in dict.fromkeys(values) if value]
    for start in range(0, len(distinct), KEYS_MAX):
        yield distinct[start : start + KEYS_MAX]


def within(field: str, since: datetime, until: datetime, zone: ZoneInfo) -> str:
    """Return the clause that holds every instant of [since, until), as the tenant's wall time.

    Reports keep minutes only, so the lower bound is the start of its minute. A bound inside the hour that comes twice
    is moved out of it: its wall time alone would cut off half of the window. Raises BadArgument where until < since.
    """
    if until < since:
        raise BadArgument(f"the window ends ({until.isoformat()}) before it starts ({since.isoformat()}); swap the two")
    lower = since.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0) - _repeated(since, zone)
    upper = until.astimezone(zone).replace(tzinfo=None, microsecond=0) + timedelta(seconds=1) + _repeated(until, zone)
    return f"{field} >= {_literal(lower)} AND {field} <= {_literal(upper)}"


def all_of(*clauses: str) -> str:
    """Return the clause that all hold; empty ones count as no condition."""
    return " AND ".join(f"({clause})" for clause in clauses if clause)


def _repeated(instant: datetime, zone: ZoneInfo) -> timedelta:
    """How much wall time comes twice at this instant; nothing outside the end of summer time."""
    wall = instant.astimezone(zone).replace(tzinfo=None)
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return max(second - first, timedelta(0))


def _literal(wall: datetime) -> str:
    return f"DateTime({wall:%Y,%m,%d,%H,%M,%S})"
