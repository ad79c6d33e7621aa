"""What a whole list no longer has.

Here: the mark on rows that the last whole reading of a list did not give. Not here: what that means (a lane decides).
The invariant: a row is marked only after a list was read to its end; it keeps its last figures, and a later reading that
gives it again takes the mark away. A list older than a row says nothing about it.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime

import duckdb
import pyarrow as pa

from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.objects import LISTED, ObjectKind


def has_listing(kind: ObjectKind) -> bool:
    """Tell whether rows of a kind can be marked as no longer listed."""
    return any(column.name == LISTED for column in kind.tables[0].columns)


def is_any_unlisted(con: duckdb.DuckDBPyConnection, kind: ObjectKind, shop: str) -> bool:
    """Tell whether a row of a shop is marked as no longer listed."""
    ((count,),) = con.execute(
        f"SELECT count(*) FROM {kind.tables[0].path} WHERE shop = $shop AND NOT {LISTED}", {"shop": shop}
    ).fetchall()
    return bool(count)


def mark_unlisted(
    lake: Lake,
    con: duckdb.DuckDBPyConnection,
    kind: ObjectKind,
    *,
    shop: str,
    ids: Set[str],
    run_id: str,
    now: datetime,
) -> int:
    """Mark the rows of a shop that are not among the ``ids`` of a whole list; return how many are newly marked."""
    table = kind.tables[0]
    row_id = f"concat_ws('/', {', '.join(kind.ids)})"
    gone = f"shop = $shop AND {LISTED} AND fetched_at <= $now AND {row_id} NOT IN (SELECT object_id FROM listed_ids)"
    con.register("listed_ids", pa.table({"object_id": pa.array(sorted(ids), pa.string())}))
    try:
        ((count,),) = con.execute(
            f"SELECT count(*) FROM {table.path} WHERE {gone}", {"shop": shop, "now": now}
        ).fetchall()
        if count:
            lake.transact(
                con,
                run_id,
                f"{count} of {kind.source}/{kind.name} no longer listed",
                lambda inside: inside.execute(
                    f"UPDATE {table.path} SET {LISTED} = false, fetched_at = $now, run_id = $run_id WHERE {gone}",
                    {"shop": shop, "now": now, "run_id": run_id},
                ),
            )
    finally:
        con.unregister("listed_ids")
    return int(count)
