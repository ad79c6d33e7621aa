"""Closing a month of a shop, as the command line and Dagster do it.

Here: what is put together for a close, and whether a month can be complete. Not here: a table or a proof
(``reconciliation``), or who may sign (the ledger's periods). The invariant: a signed or locked month is never made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.tables import Kind
from marketplace_returns.orchestration.streams import Reads, streams_of
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.close import MonthResult, close_month, ensure_tables, run_query, stage
from marketplace_returns.reconciliation.invariants import CheckResult, check_month
from marketplace_returns.reconciliation.pack import Manifest, export, pack_query
from marketplace_returns.reconciliation.pictures import month_pictures
from marketplace_returns.reconciliation.tables import PACK_TABLES, PackTable, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from marketplace_returns.orchestration.app import App

SAMPLE_ROWS: Final = 20
# Returned goods are counted by receipts, not by shipments: a month does not rest on this stream.
_BESIDE_MONTHS: Final = frozenset({"mirakl/shipment"})


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """A month that was made: its row counts and codes, and its proofs."""

    result: MonthResult
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True)
class TableView:
    """What a page shows of a month-end table: at most 20 rows, those that need a person first, and a PNG where it helps."""

    columns: tuple[str, ...]
    kinds: dict[str, Kind]
    rows: list[tuple[Any, ...]]
    picture: bytes


def close(app: App, shop_name: str, month: Month, *, run_id: str) -> ClosedMonth:
    """Make the month-end tables of a shop, prove them, and give every variance an owner in the exception queue.

    Raises:
        PeriodLocked: the month is signed; reopen it with a reason.
        ContractBroken, LakeBusy: nothing was written.
    """
    shop = app.shop(shop_name)
    app.ledger.check_open(shop.name, month)
    con = app.modelled()
    ensure_tables(app.lake, con)
    intents = app.ledger.intents_arrow(shop.name)
    result = close_month(app.lake, con, intents, shop, month, app.mappings, run_id=run_id)
    checks = check_month(con, shop, month)
    app.ledger.apply(variances.decide(con, shop, month, checks), shop)
    return ClosedMonth(result, checks)


def export_pack(app: App, shop_names: Sequence[str], month: Month, out_dir: Path) -> Manifest:
    """Write the month-end pack of closed months into a folder: CSV files, one workbook, journals, a manifest with hashes.

    Raises:
        BadArgument: no shop, a folder that is a file, or a month that was not made yet.
    """
    con = app.modelled()
    ensure_tables(app.lake, con)
    results = {}
    for name in shop_names:
        shop = app.shop(name)
        stage(con, app.ledger.intents_arrow(name), app.mappings)
        results[name] = check_month(con, shop, month)
        if not any(result.has_data for result in results[name]):
            raise BadArgument(
                f"month {month} of {name} holds no data: 'reconcile --month {month}' makes it, 'sync' or 'backfill' reads it"
            )
    return export(app.lake, con, shop_names, month, out_dir, accounts=app.mappings.ledger_accounts, results=results)


def views_of(app: App, closed: ClosedMonth) -> dict[str, TableView]:
    """Return what the pages of a closed month show, by table."""
    shop, month = closed.result.shop, closed.result.month
    drawn = month_pictures(app.con, shop, month)
    return {table.name: _view(app.con, table, shop, month, drawn.get(table.name, b"")) for table in PACK_TABLES}


def unread_streams(app: App, shop_name: str, month: Month) -> list[str]:
    """Return the streams a month rests on that were not read past its end yet; empty when the month can be closed."""
    shop = app.shop(shop_name)
    _, end = month_bounds(month, shop.time_zone)
    read_at = {stream: at for stream, (_, at) in app.ledger.cursors(shop.name).items()}
    return [
        stream.name
        for stream in streams_of(shop)
        if stream.reads is Reads.WINDOW
        and stream.name not in _BESIDE_MONTHS
        and (stream.name not in read_at or read_at[stream.name] < end)
    ]


def _view(con: DuckDBPyConnection, pack_table: PackTable, shop: str, month: Month, picture: bytes) -> TableView:
    """Return the first rows as the pack has them, those whose code needs a person before the matched ones."""
    shown = (("shop", "shop"), ("currency", "currency"), *pack_table.columns)
    matched = ", ".join(f"'{code}'" for code in pack_table.matched_codes)
    order = [f"t.{pack_table.code_column} IN ({matched})"] if matched else []
    order += [f"t.{column}" for column in pack_table.order_by]
    found = run_query(
        con,
        f"SELECT {', '.join(f't.{column}' for _, column in shown)} FROM ({pack_query(pack_table)}) AS t "
        f"ORDER BY {', '.join(order)} LIMIT {SAMPLE_ROWS}",
        {"shops": [shop], "month": str(month)},
    )
    return TableView(
        columns=tuple(name for name, _ in shown),
        kinds={name: kind_of(pack_table, column) for name, column in pack_table.columns},
        rows=found.fetchall(),
        picture=picture,
    )
