"""How instants, ids and batches are spelled in a call.

Here live the small rules every operation shares. What must not live here: any operation. The invariant: what is spelled
wrongly is refused before it leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from marketplace_returns.errors import BadArgument


def instant(moment: datetime) -> str:
    """Spell an instant as Mirakl reads it: ISO 8601, UTC, milliseconds."""
    if moment.tzinfo is None:
        raise BadArgument(f"the instant {moment.isoformat()} has no time zone: pass an aware datetime")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def path_part(value: str) -> str:
    """Quote one part of a path; an id with a slash stays one part."""
    if not value:
        raise BadArgument("an id is empty: it would name another path")
    return quote(value, safe="")


def chunks(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    """Cut ids into lists of at most ``size``."""
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def check_batch(operation: str, ids: Sequence[str], most: int) -> None:
    """Raise BadArgument unless a call carries 1 to ``most`` items, each once."""
    if not 0 < len(ids) <= most:
        raise BadArgument(f"{operation}: {len(ids)} items in one call: send 1 to {most}")
    if len(set(ids)) != len(ids):
        repeated = next(item_id for item_id in ids if list(ids).count(item_id) > 1)
        raise BadArgument(f"{operation}: {repeated} comes twice in one call: send it once")
