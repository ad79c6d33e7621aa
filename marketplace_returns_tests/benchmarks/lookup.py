"""The order look-up on a large lake: seconds from a number to the status, by kind of number and size of the lake.

The lake is made as a shop's history lands: batch after batch of orders with all that hangs on them, in files of their own, merged
by the daily upkeep in between. Order ids, return ids and tracking numbers are random, so that nothing is near its neighbours.
``python -m marketplace_returns_tests.benchmarks.lookup --lines 2_000_000 [--folder DIR] [--looks 40]``.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from marketplace_returns import model
from marketplace_returns.clock import FixedClock
from marketplace_returns.desk.lookup import Desk, look_up
from marketplace_returns.lake.connection import Lake, all_threads
from marketplace_returns.lake.maintenance import maintain
from marketplace_returns.ledger import Ledger
from marketplace_returns.mappings import load_mappings
from marketplace_returns.settings import Settings, load_settings
from marketplace_returns_tests.benchmarks.contest import machine
from marketplace_returns_tests.lanes.core_rows import SETTINGS, SHOP, WAREHOUSE
from marketplace_returns_tests.reconciliation.generate import core_tables

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH_LINES: Final = 500_000
MERGED_EVERY: Final = 4
"""Batches between two runs of the upkeep."""
NOW: Final = datetime(2026, 11, 15, 9, tzinfo=UTC)

_LINES: Final = """
CREATE OR REPLACE TEMP TABLE gen_lines AS
SELECT
    i,
    md5('order' || (i * 5 // 8))[:14] || '-A' AS order_id,
    order_id || '-' || (i - ((i * 5 // 8 * 8 + 4) // 5) + 1) AS order_line_id,
    TIMESTAMPTZ '2024-11-01 00:00:00+00' + to_seconds(CAST(i * (730.0 * 86400 / $all_lines) AS BIGINT)) AS sold_at,
    500 + CAST(hash(i) % 9500 AS BIGINT) AS price,
    hash(i, 'returned') % 100 < 30 AS is_returned,
    CAST(uuid() AS VARCHAR) AS return_id,
    'cycle-' || strftime(sold_at, '%Y-%m') || '-' || $from_line AS cycle_id
FROM range($from_line, $to_line) AS r (i)
"""
_CORE: Final = {
    "mirakl__orders": """
        SELECT order_id, order_id[:14] AS commercial_id, 'RECEIVED' AS order_state, 'TAX_INCLUDED' AS order_tax_mode,
            'GBP' AS currency, CAST(sum(price) AS BIGINT) AS price_minor, 0 AS shipping_price_minor,
            CAST(sum(price) AS BIGINT) AS total_price_minor, min(sold_at) AS created_at, min(sold_at) + INTERVAL 5 DAY AS updated_at,
            'OUT' || md5(order_id) AS shipping_tracking
        FROM gen_lines GROUP BY order_id""",
    "mirakl__order_lines": """
        SELECT order_line_id, order_id, 'RECEIVED' AS line_state, 'SKU-' || hash(i) % 5000 AS offer_sku, 1 AS quantity,
            'GBP' AS currency, price AS price_minor, 0 AS shipping_price_minor, price AS total_price_minor,
            0 AS commission_fee_minor, 0 AS commission_vat_minor, sold_at AS created_at, sold_at + INTERVAL 5 DAY AS updated_at,
            sold_at + INTERVAL 2 DAY AS shipped_at
        FROM gen_lines""",
    "mirakl__transactions": """
        SELECT 'T' || order_line_id || k AS transaction_id, 'ORDER_AMOUNT' AS transaction_type, 'PAID' AS payment_state,
            'GBP' AS currency, price AS amount_minor, order_id, order_line_id, cycle_id AS billing_cycle_id,
            sold_at AS created_at, sold_at + INTERVAL 10 DAY AS updated_at
        FROM gen_lines CROSS JOIN range(4) AS t (k)""",
    "mirakl__billing_cycles": """
        SELECT DISTINCT cycle_id AS billing_cycle_id, date_trunc('month', sold_at) + INTERVAL 1 MONTH AS created_at, 'GBP' AS currency,
            100 AS amount_to_seller_minor, 'PAID' AS pay_out_state
        FROM gen_lines""",
    "mirakl__cancelations": """
        SELECT 'X' || md5(order_line_id) AS cancelation_id, order_id, order_line_id, 1 AS quantity, 'GBP' AS currency,
            price AS amount_minor, 0 AS shipping_amount_minor, 0 AS tax_minor, sold_at AS created_at, sold_at AS updated_at
        FROM gen_lines WHERE hash(i, 'cancelled') % 100 < 3""",
    "mirakl__shipment_lines": """
        SELECT 'S' || md5(order_line_id) AS shipment_id, order_id, order_line_id, 1 AS quantity,
            'D' || md5(order_line_id) AS package_reference, sold_at + INTERVAL 2 DAY AS updated_at
        FROM gen_lines""",
    "mirakl__refunds": """
        SELECT 'F' || md5(order_line_id) AS refund_id, order_id, order_line_id, 'REFUNDED' AS refund_state, 'GBP' AS currency,
            price AS amount_minor, 0 AS shipping_amount_minor, 0 AS tax_minor, 0 AS shipping_tax_minor,
            sold_at + INTERVAL 9 DAY AS created_at, sold_at + INTERVAL 10 DAY AS paid_at, sold_at + INTERVAL 10 DAY AS updated_at
        FROM gen_lines WHERE is_returned""",
    "mirakl__returns": """
        SELECT return_id, order_id, 'RECEIVED' AS return_state, 'P' || md5(order_line_id) AS rma, sold_at + INTERVAL 6 DAY AS created_at,
            sold_at + INTERVAL 9 DAY AS updated_at
        FROM gen_lines WHERE is_returned""",
    "mirakl__return_lines": """
        SELECT return_id, order_id, order_line_id, 1 AS quantity, 'RETURN_1' AS reason_code, sold_at + INTERVAL 9 DAY AS updated_at
        FROM gen_lines WHERE is_returned""",
    "return_unit_assignments": """
        SELECT return_id, order_line_id, 1 AS unit_no, 1 AS ordinal, sold_at + INTERVAL 6 DAY AS assigned_at
        FROM gen_lines WHERE is_returned""",
    "receipt_assignments": """
        SELECT 'peoplevox:C' || md5(order_line_id) || ':SKU-' || hash(i) % 5000 || ':1' AS receipt_event_id, 1 AS unit_no,
            order_line_id || '#1' AS return_unit_id, return_id, 'item' AS matched_by, sold_at + INTERVAL 8 DAY AS assigned_at
        FROM gen_lines WHERE is_returned""",
    "reveni__returns": """
        SELECT 'P' || md5(order_line_id) AS platform_return_id, return_id AS external_id, order_id, 'COMPLETED' AS status,
            'GBP' AS currency, 'BACK' || md5(order_line_id) AS tracking_number, sold_at + INTERVAL 6 DAY AS created_at,
            sold_at + INTERVAL 9 DAY AS updated_at
        FROM gen_lines WHERE is_returned""",
    "reveni__return_items": """
        SELECT 'P' || md5(order_line_id) AS platform_return_id, '1' AS item_id, order_line_id AS external_id,
            'SKU-' || hash(i) % 5000 AS sku, 1 AS quantity, 'ACCEPTED' AS item_status, 'GBP' AS currency,
            sold_at + INTERVAL 9 DAY AS updated_at
        FROM gen_lines WHERE is_returned""",
    "peoplevox__sales_orders": "SELECT order_id AS sales_order_number, 'Despatched' AS status FROM gen_lines GROUP BY order_id",
    "peoplevox__despatches": """
        SELECT 'D' || md5(order_line_id) AS despatch_number, order_id AS sales_order_number, 'SKU-' || hash(i) % 5000 AS item_code,
            1 AS row_no, 1 AS quantity, 'DPD' AS carrier, 'OUT' || md5(order_id) AS tracking_number,
            sold_at + INTERVAL 2 DAY AS despatched_at
        FROM gen_lines""",
    "peoplevox__returns": """
        SELECT 'C' || md5(order_line_id) AS return_code, order_id AS sales_order_number, 'SKU-' || hash(i) % 5000 AS item_code,
            1 AS row_no, 1 AS quantity, 'New' AS return_condition, true AS is_reusable, sold_at + INTERVAL 8 DAY AS returned_at
        FROM gen_lines WHERE is_returned""",
    "peoplevox__purchase_orders": """
        SELECT 'RTN-' || return_id AS purchase_order_number, 'Received' AS status, order_id AS reference
        FROM gen_lines WHERE is_returned""",
    "peoplevox__goods_in": """
        SELECT 'G' || md5(order_line_id) AS goods_in_reference, 'RTN-' || return_id AS purchase_order_number,
            'SKU-' || hash(i) % 5000 AS item_code, 1 AS row_no, 1 AS quantity, sold_at + INTERVAL 8 DAY AS delivered_at
        FROM gen_lines WHERE is_returned""",
    "order_references": """
        SELECT return_id AS reference, 'return' AS kind, order_id, '' AS return_id FROM gen_lines WHERE is_returned
        UNION ALL
        SELECT 'P' || md5(order_line_id), 'RMA', order_id, '' FROM gen_lines WHERE is_returned
        UNION ALL
        SELECT 'P' || md5(order_line_id), 'platform return', order_id, return_id FROM gen_lines WHERE is_returned
        UNION ALL
        SELECT 'BACK' || md5(order_line_id), 'tracking number', order_id, return_id FROM gen_lines WHERE is_returned
        UNION ALL
        SELECT 'F' || md5(order_line_id), 'refund', order_id, '' FROM gen_lines WHERE is_returned
        UNION ALL
        SELECT 'C' || md5(order_line_id), 'warehouse return', order_id, '' FROM gen_lines WHERE is_returned
        UNION ALL
        SELECT 'D' || md5(order_line_id), 'despatch', order_id, '' FROM gen_lines
        UNION ALL
        SELECT DISTINCT 'OUT' || md5(order_id), 'tracking number', order_id, '' FROM gen_lines""",
}
_ASKED: Final = {
    "order id": "SELECT order_id FROM lake.core.mirakl__orders",
    "order line": "SELECT order_line_id FROM lake.core.mirakl__order_lines",
    "return id": "SELECT return_id FROM lake.core.mirakl__returns",
    "platform return": "SELECT platform_return_id FROM lake.core.reveni__returns",
    "tracking number": "SELECT tracking_number FROM lake.core.peoplevox__despatches",
    "refund": "SELECT refund_id FROM lake.core.mirakl__refunds",
}


def settings_in(folder: Path) -> Settings:
    """Return the settings of an installation in a folder."""
    config = folder / "shops.toml"
    config.write_text(SETTINGS.format(data_dir=folder / "data", policy="", warehouse=WAREHOUSE), encoding="utf-8")
    return load_settings(config)


def fill(lake: Lake, lines: int, console: Console) -> None:
    """Land so many order lines, batch after batch, with the upkeep in between."""
    con = lake.connect()
    columns = core_tables()
    starts = range(0, lines, BATCH_LINES)
    for number, start in enumerate(starts, start=1):
        bounds = {"all_lines": lines, "from_line": start, "to_line": min(lines, start + BATCH_LINES)}

        def land(inside: DuckDBPyConnection, number: int = number) -> None:
            for name, query in _CORE.items():
                extra = {"shop": f"'{SHOP}'"}
                if "payload_hash" in columns[name]:
                    seen_at = NOW - timedelta(days=len(starts) - number)
                    extra |= {
                        "payload_hash": "'generated'",
                        "fetched_at": f"TIMESTAMPTZ '{seen_at.isoformat()}'",
                        "run_id": "'generate'",
                    }
                given = ", ".join(f"{value} AS {column}" for column, value in extra.items())
                inside.execute(f"INSERT INTO lake.core.{name} BY NAME SELECT *, {given} FROM ({query})")

        with all_threads(con):
            con.execute(_LINES, bounds)
            lake.transact(con, "generate", f"batch {number}", land)
        if number % MERGED_EVERY == 0 or number == len(starts):
            maintain(lake, NOW, keep_days=0)
        console.print(f"{bounds['to_line']:,} lines landed")
    con.close()


def bench(console: Console, folder: Path, lines: int, looks: int) -> None:
    """Fill a lake and print how long look-ups take."""
    settings = settings_in(folder)
    lake = Lake.open(settings)
    con = lake.connect()
    mappings = load_mappings(settings.mappings_dir)
    ((there,),) = con.execute("SELECT count(*) FROM lake.core.mirakl__order_lines").fetchall()
    if not there:
        fill(lake, lines, console)
    model.attach_reports(con, settings, mappings)
    draw = random.Random(7)
    table = Table(title=f"Order look-up, {lines:,} order lines", caption=machine())
    for column in ("number asked by", "first s", "p50 s", "p95 s", "processor p50 s", "p95 s of it"):
        table.add_column(column, justify="left" if column == "number asked by" else "right")
    with Ledger.open(settings, FixedClock(NOW)) as ledger:
        desk = Desk(con, ledger, settings, mappings, lake, model.LedgerFacts)
        for kind, query in _ASKED.items():
            seed = draw.randrange(1 << 30)
            with all_threads(con):
                asked = con.execute(
                    f"SELECT * FROM ({query}) USING SAMPLE reservoir({looks} ROWS) REPEATABLE ({seed})"
                ).fetchall()
            took, worked = [], []
            for (reference,) in asked:
                started, used = time.perf_counter(), time.process_time()
                found = look_up(desk, reference, NOW)
                took.append(time.perf_counter() - started)
                worked.append(time.process_time() - used)
                if len(found.orders) != 1:
                    raise RuntimeError(f"{kind} {reference} was found to be of {len(found.orders)} orders")
            ordered = sorted(took)
            table.add_row(
                kind,
                f"{took[0]:.2f}",
                f"{statistics.median(took):.2f}",
                f"{ordered[int(len(ordered) * 0.95)]:.2f}",
                f"{statistics.median(worked):.2f}",
                f"{sorted(worked)[int(len(worked) * 0.95)]:.2f}",
            )
    con.close()
    console.print(table)


def main() -> None:
    """Measure at the size that is asked for."""
    parser = argparse.ArgumentParser(prog="lookup", description=__doc__)
    parser.add_argument("--lines", type=int, default=BATCH_LINES)
    parser.add_argument("--looks", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="keep the lake there, and use it again")
    wanted = parser.parse_args()
    console = Console()
    if wanted.folder:
        wanted.folder.mkdir(parents=True, exist_ok=True)
        bench(console, wanted.folder, wanted.lines, wanted.looks)
        return
    with tempfile.TemporaryDirectory(prefix="bench-lookup-") as folder:
        bench(console, Path(folder), wanted.lines, wanted.looks)


if __name__ == "__main__":
    main()
