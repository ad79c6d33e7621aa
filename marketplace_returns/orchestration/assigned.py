"""Return units and receipts that were given once, in lake and ledger alike.

Here: what one of the two has and the other lacks, put into it. Not here: giving new ones (``model``). The invariant: before
a unit is given its ordinal, the lake has every ordinal that was ever given, for a refund's key must not move (ADR 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from marketplace_returns.lake.connection import one_snapshot
from marketplace_returns.lake.tables import RECEIPT_ASSIGNMENTS, RETURN_UNIT_ASSIGNMENTS, Kind, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.orchestration.app import App

TABLES = (RETURN_UNIT_ASSIGNMENTS, RECEIPT_ASSIGNMENTS)
_ARROW = {Kind.TEXT: pa.string(), Kind.INTEGER: pa.int64(), Kind.INSTANT: pa.timestamp("us", tz="UTC")}


def bring_back(app: App, con: DuckDBPyConnection, shop: str, *, run_id: str) -> None:
    """Give a lake that was lost the assignments that the ledger kept, and a ledger of before what the lake has."""
    for table in TABLES:
        with one_snapshot(con):
            ((in_lake,),) = con.execute(f"SELECT count(*) FROM {table.path} WHERE shop = ?", [shop]).fetchall()
        if in_lake == app.ledger.count_assignments(table.name, shop):
            continue
        there = con.execute(f"SELECT {_names(table)} FROM {table.path} WHERE shop = ?", [shop]).to_arrow_table()
        app.ledger.keep_assignments(table.name, shop, there.to_pylist())
        known = {tuple(row[part] for part in table.key) for row in there.to_pylist()}
        kept = app.ledger.assignments(table.name, shop)
        missing = [row for row in kept if tuple(row[part] for part in table.key) not in known]
        if missing:
            _append(app, con, table, missing, run_id=run_id)


def _append(app: App, con: DuckDBPyConnection, table: Table, rows: list[dict[str, object]], *, run_id: str) -> None:
    schema = pa.schema([(column.name, _ARROW[column.kind]) for column in table.columns])
    con.register("brought_back", pa.Table.from_pylist(rows, schema=schema))
    app.lake.transact(
        con,
        run_id,
        f"{table.name} from the ledger",
        lambda inside: inside.execute(
            f"INSERT INTO {table.path} ({_names(table)}) SELECT {_names(table)} FROM brought_back"
        ),
    )
    con.unregister("brought_back")


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)
