"""Which unit of an order line a return is, and which received unit: the ledger's copy of what the lake was told (ADR 2).

Here: keeping rows and giving them back. Not here: how a unit is given (``model``). The invariant: a row that is kept never
changes, so a lake that was lost and built anew has the keys that refunds were made under.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select

from marketplace_returns.ledger import tables
from marketplace_returns.ledger.connection import lock_shop

TABLES: Final[dict[str, Table]] = {
    each.name: each for each in (tables.return_unit_assignments, tables.receipt_assignments)
}
Row = dict[str, Any]


def count(connection: Connection, name: str, shop: str) -> int:
    """Return how many rows of a shop are kept."""
    table = TABLES[name]
    found = connection.execute(select(func.count()).select_from(table).where(table.c.shop == shop))
    return int(found.scalar_one())


def rows(connection: Connection, name: str, shop: str) -> list[Row]:
    """Return every row of a shop."""
    table = TABLES[name]
    return [dict(row) for row in connection.execute(select(table).where(table.c.shop == shop)).mappings()]


def keep(connection: Connection, name: str, shop: str, given: Sequence[Row]) -> None:
    """Keep the rows of a shop whose key is not kept yet."""
    table = TABLES[name]
    key = [column.name for column in table.primary_key]
    lock_shop(connection, shop, name)
    known = {
        tuple(row) for row in connection.execute(select(*(table.c[part] for part in key)).where(table.c.shop == shop))
    }
    new = [row for row in given if tuple(row[part] for part in key) not in known]
    if new:
        connection.execute(table.insert(), new)
