"""How often a tenant may be called: about 15 requests in 15 s, whatever they are.

Here: the ceiling, and that all operations count as one. Not here: counting and waiting (`sources/budget.py`).
Invariant: no operation has a budget of its own, since the service counts requests, not what they ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marketplace_returns.sources.budget import OneCeiling, Rate

if TYPE_CHECKING:
    from marketplace_returns.sources.budget import Budget

ANY_OPERATION = "peoplevox"
CEILINGS = {ANY_OPERATION: (Rate(calls=15, window_s=15.0),)}


def tenant_budget(budget: Budget) -> Budget:
    """Return a budget made with `CEILINGS` as the one ceiling of every operation.

    Shops that share a tenant share its budget: name it by the tenant's client id, not by the shop.
    """
    return OneCeiling(budget, ANY_OPERATION)
