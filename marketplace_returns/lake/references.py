"""References: which order a number belongs to, kept as the rows that carry the numbers land.

Here lives which columns are such numbers, and how ``core.order_references`` follows their tables: for a batch, and whole. What
must not: looking one up. The invariant: a number that a core table has, or ever had, is in the references after the same
transaction; a number that changed keeps its old row, for people still ask by it.

The order's own id, its commercial id and its lines' ids are not kept here: they begin alike, and tables are sorted by the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marketplace_returns.lake import tables
from marketplace_returns.lake.connection import literal
from marketplace_returns.lake.tables import ORDER_REFERENCES, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.upsert import Moves, TypedRows


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers that a table carries: kind by column, and the columns that say which order or return they belong to."""

    table: Table
    kinds: tuple[tuple[str, str], ...]
    order: str = "order_id"
    marketplace_return: str = ""


_NUMBERS: Final = (
    _Numbers(
        tables.MIRAKL_ORDERS, (("seller_reference", "seller reference"), ("shipping_tracking", "tracking number"))
    ),
    _Numbers(tables.MIRAKL_REFUNDS, (("refund_id", "refund"), ("order_refund_id", "refund"))),
    _Numbers(tables.MIRAKL_RETURNS, (("return_id", "return"), ("rma", "RMA"), ("tracking_number", "tracking number"))),
    _Numbers(tables.MIRAKL_SHIPMENTS, (("shipment_id", "shipment"), ("tracking_number", "tracking number"))),
    _Numbers(
        tables.REVENI_RETURNS,
        (("platform_return_id", "platform return"), ("tracking_number", "tracking number")),
        marketplace_return="external_id",
    ),
    _Numbers(
        tables.REBOUND_RETURNS,
        (("platform_return_id", "platform return"), ("tracking_number", "tracking number")),
        marketplace_return="external_id",
    ),
    _Numbers(
        tables.RETURNGO_RMAS,
        (("platform_return_id", "platform return"), ("tracking_number", "tracking number")),
        order="order_name",
        marketplace_return="external_id",
    ),
    _Numbers(
        tables.PEOPLEVOX_DESPATCHES,
        (("despatch_number", "despatch"), ("tracking_number", "tracking number")),
        order="sales_order_number",
    ),
    _Numbers(tables.PEOPLEVOX_RETURNS, (("return_code", "warehouse return"),), order="sales_order_number"),
)
_OF: Final = {each.table.name: each for each in _NUMBERS}
_COLUMNS: Final = ", ".join(column.name for column in ORDER_REFERENCES.columns)


def write(con: DuckDBPyConnection, moved: Sequence[tuple[TypedRows, Moves]]) -> None:
    """Add the numbers that a batch brings, inside the transaction that writes its rows.

    Comes after ``upsert.compare``, which left ``polled.good_<table>``, ``polled.moved_<table>`` and ``polled.kept_<table>``.
    """
    questions = [
        question
        for rows, moves in moved
        if (moves.new or moves.changed) and (numbers := _OF.get(rows.table.name)) is not None
        for question in _of_batch(numbers, moves)
    ]
    if questions:
        con.execute(f"INSERT INTO {ORDER_REFERENCES.path} ({_COLUMNS}) {' UNION '.join(questions)}")


def remake(con: DuckDBPyConnection, shop: str | None = None) -> None:
    """Add the numbers of a shop, or of all, that are not there yet, inside a transaction.

    For a lake of before, and after its tables were typed anew from landing.
    """
    where = "" if shop is None else f"WHERE shop = {literal(shop)}"
    found = " UNION ".join(
        _question(numbers, column, kind, f"(SELECT * FROM {numbers.table.path} {where}) AS came")
        for numbers in _NUMBERS
        for column, kind in numbers.kinds
    )
    con.execute(
        f"INSERT INTO {ORDER_REFERENCES.path} ({_COLUMNS}) "
        f"({found}) EXCEPT SELECT {_COLUMNS} FROM {ORDER_REFERENCES.path} {where}"
    )


def _of_batch(numbers: _Numbers, moves: Moves) -> list[str]:
    """Return the questions for what is new of a batch: rows that are new, and numbers that a changed row did not have."""
    table = numbers.table
    if moves.all_new:
        return [_question(numbers, column, kind, f"polled.good_{table.name} AS came") for column, kind in numbers.kinds]
    keys = ", ".join(table.key)
    rows = f"polled.good_{table.name} AS came SEMI JOIN polled.moved_{table.name} USING ({keys}) LEFT JOIN polled.kept_{table.name} AS kept USING ({keys})"
    owners = [name for name in (numbers.order, numbers.marketplace_return) if name]
    return [
        _question(
            numbers,
            column,
            kind,
            rows,
            " OR ".join(
                f"came.{name} IS DISTINCT FROM kept.{name}" for name in (column, *owners) if name not in table.key
            )
            if column not in table.key
            else " OR ".join(
                ["kept.fetched_at IS NULL", *(f"came.{name} IS DISTINCT FROM kept.{name}" for name in owners)]
            ),
        )
        for column, kind in numbers.kinds
    ]


def _question(numbers: _Numbers, column: str, kind: str, rows: str, condition: str = "") -> str:
    also = f"coalesce(came.{numbers.marketplace_return}, '')" if numbers.marketplace_return else "''"
    where = f"came.{column} IS NOT NULL" + (f" AND ({condition})" if condition else "")
    return f"SELECT came.shop, came.{column}, {literal(kind)}, coalesce(came.{numbers.order}, ''), {also} FROM {rows} WHERE {where}"
