"""How often a tenant may be called: by default 15 requests in 15 s, whatever they are.

Here: the ceiling, and that all operations count as one. Not here: counting and waiting (`sources/budget.py`).
Invariant: no operation has a budget of its own, since the service counts requests, not what they ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marketplace_returns.sources.budget import Rate

if TYPE_CHECKING:
    from marketplace_returns.settings import WarehouseSettings
    from marketplace_returns.sources.budget import Budget

ANY_OPERATION = "peoplevox"


def ceilings(settings: WarehouseSettings) -> dict[str, tuple[Rate, ...]]:
    """Return the ceiling of a tenant, as the settings give it."""
    return {ANY_OPERATION: (Rate(calls=settings.call_limit, window_s=float(settings.call_window_s)),)}


class TenantBudget:
    """A budget made with `ceilings` that takes every operation from the one ceiling.

    Shops that share a tenant share its budget: name it by the tenant's client id, not by the shop.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def take(
        self, operation: str, *, urgent: bool = False, counted: bool = True, wait_s_max: float | None = None
    ) -> None:
        """Return when the call may leave; raises RateLimited when that is beyond the bound."""
        self._budget.take(ANY_OPERATION, urgent=urgent, counted=counted, wait_s_max=wait_s_max)

    def give_back(self, operation: str) -> None:
        """Say that the call just taken got no answer."""
        self._budget.give_back(ANY_OPERATION)

    def block(self, operation: str, seconds: float) -> None:
        """Let no call leave for so long."""
        self._budget.block(ANY_OPERATION, seconds)
