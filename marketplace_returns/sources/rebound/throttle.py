"""How often an account may be called, whatever for.

Here: the ceiling of a shop and the name all its operations count under. Not here: counting and waiting (`sources/budget.py`).
Invariant: no operation has a budget of its own. The figure of 150 calls in 60 s stands in one public client and in no text
of ReBound's, so it is a setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marketplace_returns.sources.budget import Rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marketplace_returns.settings import Shop

SYSTEM = "rebound"
ANY_OPERATION = SYSTEM
RESERVED_SHARE = 10  # one call in so many is kept for writes, and as many for polls


def ceilings(shop: Shop) -> Mapping[str, tuple[Rate, ...]]:
    """Return the ceiling of a shop's account."""
    calls = shop.returns.calls_per_minute
    return {ANY_OPERATION: (Rate(calls=calls, window_s=60.0, reserved=calls // RESERVED_SHARE),)}
