"""How often a tenant may be called: by default 15 requests in 15 s, whatever they are.

Here: the ceiling, and the one name all operations count under. Not here: counting and waiting (`sources/budget.py`).
Invariant: no operation has a budget of its own, since the service counts requests, not what they ask. Shops that share a
tenant share its budget: name it by the tenant's client id, not by the shop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marketplace_returns.sources.budget import Rate

if TYPE_CHECKING:
    from marketplace_returns.settings import WarehouseSettings

ANY_OPERATION = "peoplevox"


def ceilings(settings: WarehouseSettings) -> dict[str, tuple[Rate, ...]]:
    """Return the ceiling of a tenant, as the settings give it."""
    return {ANY_OPERATION: (Rate(calls=settings.call_limit, window_s=float(settings.call_window_s)),)}
