"""How often a tenant may be called: about 15 requests in 15 s, whatever they are.

Here: the ceiling, and the one name all operations count under. Not here: counting and waiting (`sources/budget.py`).
Invariant: no operation has a budget of its own, since the service counts requests, not what they ask. Shops that share a
tenant share its budget: name it by the tenant's client id, not by the shop.
"""

from __future__ import annotations

from marketplace_returns.sources.budget import Rate

ANY_OPERATION = "peoplevox"
CEILINGS = {ANY_OPERATION: (Rate(calls=15, window_s=15.0),)}
