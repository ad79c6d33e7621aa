"""Erasing from the lake what nobody declared as personal: of an erased customer's objects only the fields that are read stay.

Here lives cutting landed payloads down, and making an end of their past. What must not: the personal fields themselves, which
are in no lake (``personal_store``), or whose they are. The invariants: rows typed from landing are the same after; a version
that is kept for a closed month shows every core and month-end table as before.

DuckLake keeps the rows of old versions for as long as the version is kept, and the least and greatest value of each column
for good. Its catalog's tables are published (DuckLake specification 1.0); ``forget_past`` takes out of them what is over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import duckdb
import pyarrow as pa

from marketplace_returns.errors import LakeBusy
from marketplace_returns.lake.connection import CATALOG, CATALOG_FILE, Lake, literal
from marketplace_returns.lake.landing import cut_down
from marketplace_returns.lake.objects import OBJECT_KINDS, ObjectKind
from marketplace_returns.lake.personal import NOTHING, RULES
from marketplace_returns.lake.personal_store import object_name, order_name
from marketplace_returns.lake.tables import PAYLOADS, QUARANTINE

_BEFORE_ALL: Final = datetime(2000, 1, 1, tzinfo=UTC)
_BUSY_S: Final = 30
_CHANGED: Final = pa.schema(
    [(name, pa.string()) for name in ("source", "object_type", "object_id", "content_hash", "old_body", "body")]
)


def cut_landed_down(
    lake: Lake, con: duckdb.DuckDBPyConnection, shop: str, names: Collection[str], *, run_id: str
) -> int:
    """Leave of the payloads that an erasure names only the fields that are read; return how many changed.

    Raises:
        LakeBusy: the lake stayed locked; nothing was written.
    """
    changed = [row for kind in OBJECT_KINDS for row in _to_cut_down(con, kind, shop, names)]
    if not changed:
        return 0
    columns = list(zip(*changed, strict=True))
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _CHANGED, strict=True)]
    con.register("cut_down", pa.Table.from_arrays(arrays, schema=_CHANGED))

    def work(inside: duckdb.DuckDBPyConnection) -> None:
        inside.execute(
            f"""
            UPDATE {QUARANTINE.path} AS kept SET raw_row = cut_down.body FROM cut_down
            WHERE kept.shop = $shop AND kept.payload_hash = cut_down.content_hash AND kept.raw_row = cut_down.old_body
            """,
            {"shop": shop},
        )
        inside.execute(
            f"""
            UPDATE {PAYLOADS.path} AS kept SET body = cut_down.body FROM cut_down
            WHERE kept.shop = $shop AND kept.source = cut_down.source AND kept.object_type = cut_down.object_type
                AND kept.object_id = cut_down.object_id AND kept.content_hash = cut_down.content_hash
            """,
            {"shop": shop},
        )

    lake.transact(con, run_id, "payloads cut down to what is read", work)
    con.unregister("cut_down")
    return len(changed)


def forget_past(lake: Lake, con: duckdb.DuckDBPyConnection) -> int:
    """Make an end of what landing's tables held once and hold no more, in whatever version; return the files deleted.

    Versions that are kept show payloads and quarantine as far as they are still the same; all other tables stay as they were.
    Files go at once, without grace: a question that is being asked of the payloads meanwhile may fail, and is asked again.

    Raises:
        LakeBusy: the lake stayed locked; it may be run again.
    """
    for table in (PAYLOADS, QUARANTINE):
        for procedure in (
            f"ducklake_flush_inlined_data('{CATALOG}', schema_name => '{table.schema}', table_name => '{table.name}')",
            f"ducklake_rewrite_data_files('{CATALOG}', '{table.name}', schema => '{table.schema}', delete_threshold => 0)",
        ):
            lake.call(con, procedure)
    lake.in_turn("the past of landing", partial(_take_out_of_catalog, con, lake.metadata))
    cleanup = f"ducklake_cleanup_old_files('{CATALOG}', older_than => {literal(_BEFORE_ALL + timedelta(days=1))})"
    deleted = lake.call(con, cleanup)
    if not lake.catalog:
        lake.in_turn("overwriting the catalog's free pages", partial(_overwrite_free_pages, lake))
    return deleted


def _to_cut_down(
    con: duckdb.DuckDBPyConnection, kind: ObjectKind, shop: str, names: Collection[str]
) -> list[tuple[str, ...]]:
    paths = RULES.get((kind.source, kind.name), NOTHING).order
    named = ", ".join(f"nullif(json_extract_string(body, {literal('$.' + path)}), '')" for path in paths)
    of_order = f"OR list_contains($names, {literal(order_name(''))} || coalesce({named}))" if paths else ""
    own = literal(object_name(kind.source, kind.name, ""))
    rows = con.execute(
        f"""
        SELECT object_id, content_hash, body FROM {PAYLOADS.path}
        WHERE shop = $shop AND source = $source AND object_type = $object_type
            AND (list_contains($names, {own} || object_id) {of_order})
        """,
        {"shop": shop, "source": kind.source, "object_type": kind.name, "names": sorted(names)},
    ).fetchall()
    return [
        (kind.source, kind.name, object_id, content_hash, body, less)
        for object_id, content_hash, body in rows
        if (less := cut_down(kind, body).decode()) != body
    ]


def _take_out_of_catalog(con: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Take the ended files of landing's tables out of the catalog, and the values it remembers of their texts."""
    con.execute("BEGIN")
    try:
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE of_landing AS
            SELECT t.table_id, any_value(s.path || t.path) AS folder,
                bool_and(s.path_is_relative AND t.path_is_relative) AS is_relative,
                bool_and(t.end_snapshot IS NOT NULL) AS is_gone
            FROM {catalog}.ducklake_table AS t JOIN {catalog}.ducklake_schema AS s USING (schema_id)
            WHERE s.schema_name = '{PAYLOADS.schema}' GROUP BY t.table_id
            """
        )
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE ended AS
            SELECT 'data' AS kind, data_file_id, data_file_id AS file_id, table_id, path, path_is_relative
            FROM {catalog}.ducklake_data_file
            WHERE table_id IN (SELECT table_id FROM of_landing WHERE is_gone OR end_snapshot IS NOT NULL)
            UNION ALL
            SELECT 'delete', data_file_id, delete_file_id, table_id, path, path_is_relative
            FROM {catalog}.ducklake_delete_file AS gone
            WHERE table_id IN (SELECT table_id FROM of_landing WHERE is_gone OR gone.end_snapshot IS NOT NULL)
                OR data_file_id IN (
                    SELECT data_file_id FROM {catalog}.ducklake_data_file
                    WHERE end_snapshot IS NOT NULL AND table_id IN (SELECT table_id FROM of_landing)
                )
            """
        )
        con.execute(
            f"""
            INSERT INTO {catalog}.ducklake_files_scheduled_for_deletion
            SELECT file_id, CASE WHEN path_is_relative THEN folder ELSE '' END || path, path_is_relative AND is_relative,
                {literal(_BEFORE_ALL)}
            FROM ended JOIN of_landing USING (table_id)
            """
        )
        data, deletes = (
            "SELECT file_id FROM ended WHERE kind = 'data'",
            "SELECT file_id FROM ended WHERE kind = 'delete'",
        )
        for table in ("data_file", "file_column_stats", "file_partition_value", "file_variant_stats"):
            con.execute(f"DELETE FROM {catalog}.ducklake_{table} WHERE data_file_id IN ({data})")
        con.execute(f"DELETE FROM {catalog}.ducklake_delete_file WHERE delete_file_id IN ({deletes})")
        con.execute(
            f"""
            UPDATE {catalog}.ducklake_table_column_stats SET min_value = NULL, max_value = NULL
            WHERE (table_id, column_id) IN (
                SELECT (table_id, column_id) FROM {catalog}.ducklake_column
                WHERE table_id IN (SELECT table_id FROM of_landing) AND column_name IN ('body', 'raw_row', 'fields')
            )
            """
        )
        inlined = con.execute(
            f"""
            SELECT table_name, is_gone FROM {catalog}.ducklake_inlined_data_tables JOIN of_landing USING (table_id)
            """
        ).fetchall()
        for name, is_gone in inlined:
            con.execute(f"DELETE FROM {catalog}.{name} WHERE {is_gone} OR end_snapshot IS NOT NULL")
        con.execute("COMMIT")
    except BaseException:
        con.execute("ROLLBACK")
        raise


def _overwrite_free_pages(lake: Lake) -> None:
    """Write the catalog anew without its free pages, and its log away: both may hold what was deleted."""
    with closing(sqlite3.connect(lake.folder / CATALOG_FILE, timeout=_BUSY_S, isolation_level=None)) as catalog:
        try:
            catalog.execute("VACUUM")
            ((is_busy, _, _),) = catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError as held:
            raise LakeBusy(f"{lake.folder / CATALOG_FILE} is in use: run `lake maintain` again") from held
    if is_busy:
        raise LakeBusy(f"{lake.folder / CATALOG_FILE} is in use: run `lake maintain` again")
