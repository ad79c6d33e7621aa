"""The whole life of one thing, found by any of its numbers (R7, R24).

Here lives the look-up from an id to the orders it belongs to, and their events. What must not: a join by e-mail (R73) or
personal data. The invariant: one query per step, each by key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.lake.connection import all_threads, one_snapshot
from marketplace_returns.lake.tables import CORE_TABLES
from marketplace_returns.mappings import SourceSystem
from marketplace_returns.model import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PACKAGE = "marketplace_returns.reconciliation"
_MATCH_KEY: Final = re.compile(r"^(refund|unit|receipt|log):")
_LOG_LINE: Final = re.compile(r"log:.+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.DOTALL | re.IGNORECASE)
"""What looks like the id of a log line: called one by a month-end table, or a UUID, as TL02 gives them."""
_NAMERS: Final = frozenset(SourceSystem)
"""Systems whose name comes before the numbers they give receipts and returns."""


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


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the transaction log (TL02); ``amount_minor`` in minor units of ``currency``, + is owed by the marketplace; instants in UTC."""

    shop: str
    transaction_id: str
    transaction_type: str
    component: str
    account: str
    payment_state: str
    currency: str
    amount_minor: int
    order_id: str | None
    order_line_id: str | None
    refund_id: str | None
    tax_code: str | None
    billing_cycle_id: str | None
    accounting_document_id: str | None
    accounting_document_number: str | None
    created_at: datetime
    updated_at: datetime
    payload_hash: str
    fetched_at: datetime


def find(con: DuckDBPyConnection, reference: str) -> list[Found]:
    """Return the orders that an order, line, return, RMA, refund, tracking or warehouse order number belongs to.

    So does what a month-end table calls a thing by: a log line or cancelation, a return unit, a receipt, a match key. ``con`` has been
    through ``model.attach_reports``.
    """
    return find_by_number(con, reference) or of_log_lines(log_lines(con, reference))


def find_by_number(con: DuckDBPyConnection, reference: str) -> list[Found]:
    """Return what ``find`` does, without a look at the transaction log."""
    wanted = reference.strip()
    if "\0" in wanted:  # which the database cannot be asked for
        return []
    number = _number_in(wanted)
    found = _asked(con, "trace_find", wanted)
    if not found and number != wanted:
        found = _asked(con, "trace_find", number)
    return found or _asked(con, "trace_cancelation", number)


def log_lines(con: DuckDBPyConnection, reference: str) -> list[LogLine]:
    """Return the log lines that a reference names, one of each shop; the log is read only where it looks like the id of one."""
    wanted = reference.strip()
    if "\0" in wanted or not _LOG_LINE.fullmatch(wanted):
        return []
    number = re.sub("^log:", "", wanted)
    with all_threads(con):
        rows = con.execute(statement("trace_log_line", PACKAGE), {"number": number}).fetchall()
    return [LogLine(*row) for row in rows]


def of_log_lines(lines: Iterable[LogLine]) -> list[Found]:
    """Return the orders that log lines name."""
    return [Found(line.shop, line.order_id, "transaction") for line in lines if line.order_id]


def _asked(con: DuckDBPyConnection, question: str, number: str) -> list[Found]:
    con.execute("SET VARIABLE reference = ?", [number])
    con.execute("SET VARIABLE announced = ?", [number.removeprefix("RTN-")])
    rows = con.execute(statement(question, PACKAGE)).fetchall()
    return [Found(*row) for row in rows]


def _number_in(reference: str) -> str:
    """Return the number that a match key, a return unit (line#ordinal) or a receipt event (system:number:item) is made of."""
    name = _MATCH_KEY.sub("", reference).partition("#")[0]
    system, _, rest = name.partition(":")
    return (rest.partition(":")[0] if system in _NAMERS else name) or reference


def events(con: DuckDBPyConnection, shop: str, order_id: str) -> list[Event]:
    """Return everything that happened to an order, oldest first; ``con`` has been through ``model.attach``."""
    rows: list[tuple[Any, ...]] = con.execute(
        "SELECT occurred_at, event, source, order_line_id, return_id, reference, payload_hash FROM model.events "
        "WHERE shop = ? AND order_id = ? ORDER BY occurred_at, event, reference",
        [shop, order_id],
    ).fetchall()
    return [Event(*row) for row in rows]


def objects(con: DuckDBPyConnection, shop: str, order_id: str) -> list[tuple[str, str, str]]:
    """Return (source, object type, object id) of what belongs to an order without naming it."""
    rows = con.execute(statement("trace_objects", PACKAGE), {"shop": shop, "order_id": order_id}).fetchall()
    return [(source, object_type, object_id) for source, object_type, object_id in rows]


def numbers(con: DuckDBPyConnection, shop: str, order_id: str) -> dict[str, set[str]]:
    """Return the ids of an order's lines, units, returns, receipts, refunds and transactions, by what an entity calls them."""
    found: dict[str, set[str]] = {}
    for name, number in con.execute(
        statement("trace_numbers", PACKAGE), {"shop": shop, "order_id": order_id}
    ).fetchall():
        found.setdefault(name, set()).add(number)
    return found


def rows_of(con: DuckDBPyConnection, shop: str, order_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return every core row of an order, of its returns, and of its returns on the platform, by table."""
    found: dict[str, list[dict[str, Any]]] = {}
    with one_snapshot(con):
        numbers = {"order_id": [order_id], "sales_order_number": [order_id]}
        for _, object_type, object_id in objects(con, shop, order_id):
            name = "platform_return_id" if object_type == "return" else "purchase_order_number"
            numbers.setdefault(name, []).append(object_id)
        for table in CORE_TABLES:
            columns = [column.name for column in table.columns]
            named = {name: numbers[name] for name in numbers if name in columns}
            if named:
                conditions = " OR ".join(f"list_contains(${name}, {name})" for name in named)
                rows = con.execute(
                    f"SELECT {', '.join(columns)} FROM {table.path} WHERE shop = $shop AND ({conditions}) ORDER BY ALL",
                    {"shop": shop, **named},
                ).fetchall()
                found[table.name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return {name: rows for name, rows in found.items() if rows}
