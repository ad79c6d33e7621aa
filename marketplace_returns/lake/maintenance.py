"""Keeping the lake small: inlined rows to files, small files together, old snapshots and left-over files away.

Here lives the daily upkeep. What must not: a decision which months are closed; the caller names the versions to keep.
The invariant: what any kept version shows, it still shows after, and nothing that a running reader may need is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import duckdb

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import Lake, literal
from marketplace_returns.lake.tables import LAKE_TABLES

GRACE = timedelta(days=1)  # files are deleted this long after the last snapshot that shows them is gone
REWRITE_FROM_DELETED_SHARE = 0.25  # a file is written anew when this share of its rows is deleted


@dataclass(frozen=True)
class MaintenanceReport:
    """What the upkeep did, as numbers."""

    rows_flushed: int
    files_before: int
    files_after: int
    snapshots_expired: int
    snapshots_kept: int
    files_deleted: int
    orphans_deleted: int


def maintain(
    lake: Lake,
    now: datetime,
    keep_versions: Collection[int] = (),
    *,
    keep_days: int = 7,
    on_progress: Callable[[str], None] | None = None,
) -> MaintenanceReport:
    """Bring the lake back to few files and few snapshots.

    Args:
        lake: the lake; others may read and write meanwhile.
        now: the instant to count days from.
        keep_versions: snapshots of closed months, kept for good.
        keep_days: snapshots of the last days are kept as well.
        on_progress: hears of every step.

    Raises:
        BadArgument: a negative number of days.
        LakeBusy: the lake stayed locked; what was done before stays done.
    """
    if keep_days < 0:
        raise BadArgument("keep_days is a number of days from 0 on")
    say = on_progress or (lambda _: None)
    con = lake.connect()
    try:
        files_before = _files(con)
        say("writing inlined rows to files")
        flushed = lake.call(con, "ducklake_flush_inlined_data('lake')", "rows_flushed")
        say("merging small files")
        _sort_tables(lake, con)
        lake.call(con, f"ducklake_rewrite_data_files('lake', delete_threshold => {REWRITE_FROM_DELETED_SHARE})")
        lake.call(con, "ducklake_merge_adjacent_files('lake')")
        say("expiring old snapshots")
        expired, kept = _expire(lake, con, now - timedelta(days=keep_days), keep_versions)
        say("deleting files that no snapshot shows")
        before = literal(now - GRACE)
        deleted = lake.call(con, f"ducklake_cleanup_old_files('lake', older_than => {before})")
        # Seen first, deleted after: what cannot even be listed must not be deleted.
        orphans = f"ducklake_delete_orphaned_files('lake', older_than => {before}, dry_run => %s)"
        found = lake.call(con, orphans % "TRUE")
        orphans_deleted = lake.call(con, orphans % "FALSE") if found else 0
        return MaintenanceReport(flushed, files_before, _files(con), expired, kept, deleted, orphans_deleted)
    finally:
        con.close()


def _sort_tables(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    """Let the tables of an older lake be sorted from now on: a merge of their files sorts what was there before."""
    place = lake.metadata
    rows = con.execute(
        f"SELECT t.table_name, e.expression FROM {place}.ducklake_sort_info AS s "
        f"INNER JOIN {place}.ducklake_sort_expression AS e USING (sort_id) "
        f"INNER JOIN {place}.ducklake_table AS t ON t.table_id = s.table_id "
        "WHERE s.end_snapshot IS NULL AND t.end_snapshot IS NULL"
    ).fetchall()
    sorted_by = dict(rows)
    for table in LAKE_TABLES:
        if table.sorted_by and sorted_by.get(table.name) != table.sorted_by:
            lake.in_turn(
                f"sorting {table.name}",
                partial(con.execute, f"ALTER TABLE {table.path} SET SORTED BY ({table.sorted_by} ASC)"),
            )


def _expire(
    lake: Lake, con: duckdb.DuckDBPyConnection, before: datetime, keep_versions: Collection[int]
) -> tuple[int, int]:
    """Expire the snapshots before an instant but for the kept ones and the newest; return (expired, left)."""
    rows = con.execute("SELECT snapshot_id, snapshot_time < ? FROM lake.snapshots() ORDER BY snapshot_id", [before])
    snapshots = rows.fetchall()
    newest = snapshots[-1][0]
    old = [version for version, is_old in snapshots if is_old and version != newest and version not in keep_versions]
    if old:
        lake.call(con, f"ducklake_expire_snapshots('lake', versions => {old})")
    return len(old), len(snapshots) - len(old)


def _files(con: duckdb.DuckDBPyConnection) -> int:
    ((files,),) = con.execute("SELECT coalesce(sum(file_count), 0) FROM ducklake_table_info('lake')").fetchall()
    return int(files)
