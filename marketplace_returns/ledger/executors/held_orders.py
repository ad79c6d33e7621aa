"""What the warehouse holds under an order's number, held against what we would save there.

Here live the words for it, for sales orders and expected returns alike. What must not live here: reading or saving. The
invariant: an order counts as ours only where its open units are exactly those we send; what else stands under our number is
never overwritten unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

_CANCELLED: Final = frozenset({"cancelled", "canceled", "deleted"})
SHOWN_MAX: Final = 5


class Held(StrEnum):
    """What stands under the number: nothing, our order, a part of it (saved by half), another one, or one cancelled."""

    NOTHING = "nothing"
    SAME = "same"
    PART = "part"
    OTHER = "other"
    CANCELLED = "cancelled"


def held(found: Mapping[str, Any] | None, wanted: Sequence[Mapping[str, Any]]) -> Held:
    """Compare an order with its lines, as the client gives it, with the lines of a body (``item_code``, ``quantity``, ``line``)."""
    if found is None:
        return Held.NOTHING
    if is_cancelled(found):
        return Held.CANCELLED
    there = [_line(item) for item in found["items"] if not _is_closed(item)]
    ours = [_line(item) for item in wanted if not _is_closed(item)]
    if _units(there) == _units(ours):
        return Held.SAME
    return Held.PART if not Counter(there) - Counter(ours) else Held.OTHER


def is_cancelled(found: Mapping[str, Any]) -> bool:
    """Tell whether an order of the warehouse is cancelled."""
    return str(found.get("status", "")).casefold() in _CANCELLED


def shown(found: Mapping[str, Any]) -> str:
    """Return an order's contents in words, for a person: ``2 x SKU-1, 1 x SKU-2``."""
    units = _units([_line(item) for item in found["items"] if not _is_closed(item)])
    parts = [f"{count} x {item_code}" for item_code, count in sorted(units.items())]
    return ", ".join(parts[:SHOWN_MAX]) + (", ..." if len(parts) > SHOWN_MAX else "") if parts else "no lines"


def _line(item: Mapping[str, Any]) -> tuple[str, str, int]:
    return str(item["line"]), str(item["item_code"]), _whole(item["quantity"])


def _units(lines: Sequence[tuple[str, str, int]]) -> dict[str, int]:
    units: Counter[str] = Counter()
    for _, item_code, quantity in lines:
        units[item_code] += quantity
    return dict(units)


def _is_closed(item: Mapping[str, Any]) -> bool:
    return str(item.get("status") or "").casefold() == "closed"


def _whole(quantity: object) -> int:
    """Read a quantity; one that cannot be read equals none of ours."""
    try:
        return int(str(quantity))
    except ValueError:
        return -1
