"""Closing a month of a shop, as the command line and Dagster do it.

Here: what is put together for a close, and whether a month can be complete. Not here: a table or a proof
(``reconciliation``), or who may sign (the ledger's periods). The invariant: a signed or locked month is never made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.orchestration.streams import Reads, streams_of
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.reconciliation import invariants, pictures, variances
from marketplace_returns.reconciliation.close import MonthResult, close_month, ensure_tables
from marketplace_returns.reconciliation.tables import PACK_TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.orchestration.app import App
    from marketplace_returns.reconciliation.invariants import CheckResult

SAMPLE_ROWS: Final = 20
# Streams a month does not rest on: what is on sale, what is in stock, word lists, and what our own writes touched.
_BESIDE_MONTHS: Final = frozenset({"mirakl/shipment"})


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """A closed month: what was made, its proofs, and what its pages show.

    ``samples`` holds (column names, at most 20 rows) by table, rows that need a person first; ``pictures`` PNG by table.
    """

    result: MonthResult
    checks: tuple[CheckResult, ...]
    samples: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]
    pictures: dict[str, bytes]


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
    checks = tuple(invariants.check_month(con, shop, month))
    app.ledger.apply(variances.decide(con, shop, month), shop)
    return ClosedMonth(
        result=result,
        checks=checks,
        samples={table.name: _sample(con, table, shop.name, month) for table in PACK_TABLES},
        pictures=pictures.month_pictures(con, shop.name, month),
    )


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


def _sample(
    con: DuckDBPyConnection, pack_table: Any, shop: str, month: Month
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    columns = tuple(column.name for column in pack_table.table.columns)
    needs_person = (
        f"{pack_table.code_column} IN ({', '.join('?' for _ in pack_table.matched_codes)}),"
        if pack_table.matched_codes
        else ""
    )
    rows = con.execute(
        f"SELECT {', '.join(columns)} FROM {pack_table.table.path} WHERE shop = ? AND month = ? "
        f"ORDER BY {needs_person} {', '.join(pack_table.order_by)} LIMIT {SAMPLE_ROWS}",
        [shop, str(month), *pack_table.matched_codes],
    ).fetchall()
    return columns, rows
