"""Which Mirakl operation a request is.

Here: the table of codes, verbs, paths and call-frequency ceilings (Mirakl's published Appendix A). Not here: what an operation
does. Invariant: the fault rules, the call counts and the dispatcher all read this one table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """A seller operation: its code, whether it changes anything, and its ceilings as (calls, seconds) pairs."""

    code: str
    method: str
    path: str
    is_write: bool = False
    ceilings: tuple[tuple[int, int], ...] = ()


DAY = 86_400
OPERATIONS = (
    Operation("V01", "GET", "/api/version"),
    Operation("A01", "GET", "/api/account", ceilings=((1, DAY),)),
    Operation("PC01", "GET", "/api/platform/configuration"),
    Operation("RE01", "GET", "/api/reasons"),
    Operation("SH21", "GET", "/api/shipping/carriers", ceilings=((1, DAY),)),
    Operation("SH12", "GET", "/api/shipping/types", ceilings=((1, DAY),)),
    Operation("OR11", "GET", "/api/orders", ceilings=((1, 60),)),
    Operation("OR13", "POST", "/api/orders/async-export", ceilings=((1, 300),)),
    Operation("OR14", "GET", "/api/orders/async-export/status/{id}", ceilings=((1, 2),)),
    Operation("OR15", "GET", "/api/orders/async-export/file/{id}"),
    Operation("OR21", "PUT", "/api/orders/{id}/accept", is_write=True),
    Operation("OR23", "PUT", "/api/orders/{id}/tracking", is_write=True),
    Operation("OR24", "PUT", "/api/orders/{id}/ship", is_write=True),
    Operation("OR28", "PUT", "/api/orders/refund", is_write=True),
    Operation("OR29", "PUT", "/api/orders/{id}/cancel", is_write=True),
    Operation("OR30", "PUT", "/api/orders/cancel", is_write=True),
    Operation("OR64", "PUT", "/api/orders/{id}/lines/{line}/resolve_incident", is_write=True),
    Operation("ST01", "POST", "/api/shipments", is_write=True),
    Operation("ST11", "GET", "/api/shipments"),
    Operation("ST24", "PUT", "/api/shipments/ship", is_write=True),
    Operation("RT01", "POST", "/api/returns", is_write=True),
    Operation("RT04", "PUT", "/api/returns", is_write=True),
    Operation("RT11", "GET", "/api/returns", ceilings=((1, 300),)),
    Operation("RT12", "GET", "/api/returns/items_to_return"),
    Operation("RT21", "PUT", "/api/returns/accept", is_write=True),
    Operation("RT25", "PUT", "/api/returns/receive", is_write=True),
    Operation("RT26", "PUT", "/api/returns/compliance", is_write=True),
    Operation("RT27", "PUT", "/api/returns/close", is_write=True),
    Operation("RT29", "PUT", "/api/returns/cancel", is_write=True),
    Operation("OF21", "GET", "/api/offers"),
    Operation("OF22", "GET", "/api/offers/{id}"),
    Operation("STO01", "POST", "/api/offers/stock/imports", is_write=True, ceilings=((1, 60),)),
    Operation("STO02", "GET", "/api/offers/stock/imports/{id}/status", ceilings=((1, 15),)),
    Operation("STO03", "GET", "/api/offers/stock/imports/{id}/error_report", ceilings=((1, 60),)),
    Operation("TL02", "GET", "/api/sellerpayment/transactions_logs", ceilings=((20, 60), (60, 3600))),
    Operation("TL03", "POST", "/api/sellerpayment/transactions_logs/async", ceilings=((1, DAY),)),
    Operation("TL04", "GET", "/api/sellerpayment/transactions_logs/async/status/{id}", ceilings=((1, 10),)),
    Operation("TL05", "GET", "/api/sellerpayment/transactions_logs/export/async/file/{id}"),
    Operation("SBC11", "GET", "/api/seller-billing-cycles", ceilings=((1, DAY),)),
    Operation("IV01", "GET", "/api/invoices", ceilings=((1, DAY),)),
)
# a day's one allowance of these covers all pages of the list
PAGES_ARE_ONE_CALL = frozenset({"SBC11", "IV01"})

_STATIC = {(one.method, one.path): one for one in OPERATIONS if "{" not in one.path}
_DYNAMIC = [
    (one.method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", one.path) + "$"), one)
    for one in OPERATIONS
    if "{" in one.path
]


def match(method: str, path: str) -> tuple[Operation, tuple[str, ...]] | None:
    """The operation and its path arguments; None for an unknown address."""
    static = _STATIC.get((method, path))
    if static is not None:
        return static, ()
    for verb, pattern, operation in _DYNAMIC:
        if verb == method and (found := pattern.match(path)):
            return operation, found.groups()
    return None


def path_exists(path: str) -> bool:
    """Whether any verb is served at this path (405 rather than 404)."""
    return any(match(method, path) for method in ("GET", "PUT", "POST"))
