"""The whole life of one thing, found by any of its numbers (R7, R24).

Here lives the look-up from an id to the orders it belongs to, and their events. What must not: a join by e-mail (R73) or
personal data. The invariant: one query per step, each by key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from marketplace_returns.model import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PACKAGE = "marketplace_returns.reconciliation"


@dataclass(frozen=True)
class Found:
    """An order that an id belongs to, and what kind of id it was."""

    shop: str
    order_id: str
    kind: str


@dataclass(frozen=True)
class Event:
    """One thing that happened, when, and which landed payload says so."""

    occurred_at: datetime
    event: str
    source: str
    order_line_id: str | None
    return_id: str | None
    reference: str | None
    payload_hash: str | None


def find(con: DuckDBPyConnection, reference: str) -> list[Found]:
    """Return the orders that an order, line, return, RMA, refund, tracking or warehouse order number belongs to."""
    wanted = reference.strip()
    con.execute("SET VARIABLE reference = ?", [wanted])
    con.execute("SET VARIABLE announced = ?", [wanted.removeprefix("RTN-") if wanted.startswith("RTN-") else ""])
    rows = con.execute(statement("trace_find", PACKAGE)).fetchall()
    return [Found(*row) for row in rows]


def events(con: DuckDBPyConnection, shop: str, order_id: str) -> list[Event]:
    """Return everything that happened to an order, oldest first; ``con`` has been through ``model.attach``."""
    rows: list[tuple[Any, ...]] = con.execute(
        "SELECT occurred_at, event, source, order_line_id, return_id, reference, payload_hash FROM model.events "
        "WHERE shop = ? AND order_id = ? ORDER BY occurred_at, event, reference",
        [shop, order_id],
    ).fetchall()
    return [Event(*row) for row in rows]
