"""The month's close beside hand-written DuckDB queries, pandas and datacompy, over the same rows.

All make the tables of ``AGREED``, by the same rules, and must agree on every row of them before anything is shown.
Ours reads the lake and writes the tables into it; the others read the same rows from Parquet and write Parquet. They are
written as a good analyst would for one shop, one currency and taxes on top: what several tables need is summed once.
Only ours besides: journals, actions by hand, despatches and late items (small or empty here), other currencies and tax modes, doubled
claims and refunds, the proofs of keys and bookings, the lineage, and one transaction that others see whole or not at all.
datacompy compares two tables and makes none: it puts the orders beside the log, and pandas makes the rest.
Only the others: they sum the log anew, of which ours keeps bookings as it lands; what those cost is told below the table.

Measured is the close whole, from an open connection to the committed tables. Opening connections and importing are not.
The month before is closed already, as in any month but the first. Beside it: the close again once one order line in a hundred was read
anew, the proofs I1 to I18 of it, and the hand-written queries in as little memory as they can do with.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from marketplace_returns import model
from marketplace_returns.lake import bookings
from marketplace_returns.lake.connection import CATALOG_FILE, FOLDER, Lake, all_threads
from marketplace_returns.ledger.ledger import ARROW_ROWS
from marketplace_returns.mappings import load_mappings
from marketplace_returns.reconciliation.close import INTENTS, close_month, month_parameters, stage
from marketplace_returns.reconciliation.invariants import check_month
from marketplace_returns.settings import Settings, load_settings
from marketplace_returns_tests.benchmarks.close_with_pandas import COMPONENTS, PandasClose
from marketplace_returns_tests.benchmarks.contest import best_of, measure, show
from marketplace_returns_tests.reconciliation.generate import SHOP, Shape, generate
from marketplace_returns_tests.reconciliation.worlds import MAPPINGS, OCTOBER

MODULE = "marketplace_returns_tests.benchmarks.close"
TABLES = (
    "mirakl__transactions",
    "mirakl__billing_cycles",
    "mirakl__billing_cycle_totals",
    "mirakl__invoices",
    "mirakl__order_lines",
    "mirakl__order_line_taxes",
    "mirakl__refunds",
    "mirakl__refund_taxes",
    "mirakl__returns",
    "reveni__refunds",
    "reveni__returns",
    "return_unit_assignments",
    "receipt_assignments",
    "peoplevox__returns",
)
# What an analyst keeps beside the data: how types, statements, conditions and contracts read.
LOOKUPS = {
    "transaction_types": "SELECT type, component, ledger_account FROM mapping.transaction_types",
    "statement_components": "FROM stage.statement_components",
    "component_types": "FROM stage.component_types",
    "dispositions": "SELECT lower(source_code) AS source_code, canonical FROM mapping.dispositions WHERE source_system = 'peoplevox'",
    "commission_rates": f"FROM mapping.commission_rates WHERE shop = '{SHOP}'",
    "code_owners": "FROM stage.code_owners",
}
_ORDER_LEDGER = tuple(f"{side}_{component}_minor" for side in ("order", "ledger") for component in COMPONENTS)
AGREED = {
    "payout_proof": (
        "billing_cycle_id",
        "pay_out_state",
        "statement_amount_minor",
        "ledger_amount_minor",
        "payment_amount_minor",
        "invoice_amount_minor",
        "status",
    ),
    "payout_components": (
        "billing_cycle_id",
        "component",
        "statement_amount_minor",
        "ledger_amount_minor",
        "difference_minor",
    ),
    "control_roll_forward": ("component", "amount_minor", "lines"),
    "order_vs_ledger": ("order_id", "order_line_id", *_ORDER_LEDGER, "variance_code"),
    "refund_three_way": (
        "match_key",
        "order_id",
        "order_line_id",
        "return_id",
        "return_unit_id",
        "refund_id",
        "intended_amount_minor",
        "marketplace_amount_minor",
        "settled_amount_minor",
        "platform_amount_minor",
        "disposition",
        "requested_at",
        "paid_at",
        "difference_minor",
        "verdict",
    ),
    "returns_physical_roll": ("stage", "quantity", "value_minor"),
    "refund_accrual_bridge": ("line", "amount_minor"),
    "vat_summary": ("direction", "tax_code", "rate", "net_minor", "tax_minor"),
    "commission_variance": (
        "order_id",
        "order_line_id",
        "expected_commission_minor",
        "charged_commission_minor",
        "expected_credit_minor",
        "credited_minor",
        "difference_minor",
        "variance_code",
    ),
    "timing_differences": ("cause", "reference", "amount_minor", "from_month", "to_month"),
    "aged_unmatched": ("bucket", "kind", "reference", "amount_minor", "age_days", "owner"),
}
"""The tables that every contestant makes, with the columns that all must agree on."""
TARGET = "Targets: ours at most 1.5 x hand-written, at least 3 x faster than pandas, under 4 GB at 10 M order lines."
REPEATS = 3
PANDAS_LINES_MAX = 2_000_000
"""Above so many order lines those in frames, which hold all of them several times over, are not asked, and each other once."""
_THREADS = 2
_LITTLE_MEMORY = "3200MB"
_AS_MADE = "catalog_as_made.sqlite"
"""The lake's catalog before any contestant closed the month; files that a close added are orphans to it."""
_MAKING_MEMORY = "8GB"
"""What the making of the rows may use, which is not measured; ten million lines would be sorted on disk with the product's own limit."""


def bench_close(console: Console, sizes: tuple[int, ...], kept: Path | None = None) -> None:
    """Print one table per size in order lines; what is made for it is kept in a folder, if one is named, and made once."""
    for lines in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-close-") as passing:
            folder = passing if kept is None else str(kept / str(lines))
            log_lines, kept_s = _made(Path(folder), lines)
            names = tuple(name for name in CONTESTANTS if name not in IN_FRAMES or lines <= PANDAS_LINES_MAX)
            runs = best_of(REPEATS if lines <= PANDAS_LINES_MAX else 1, MODULE, names, folder)
            if differing := disagreements(Path(folder), tuple(name for name in names if name in OTHERS)):
                raise RuntimeError("the contestants do not agree: " + "; ".join(differing))
            title = f"Close of a month: {lines:,} order lines, {log_lines:,} log lines"
            of_bookings = f"Bookings kept as the log lands: {kept_s:.2f} s for {log_lines:,} log lines."
            show(console, title, "log lines", runs, f"{of_bookings} {TARGET}")


def _made(folder: Path, lines: int) -> tuple[int, float]:
    """Take what was prepared in a folder, or prepare it; return what ``_prepare`` did."""
    note = folder / "made.json"
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = _prepare(folder, lines)
        shutil.copyfile(_catalog(folder), folder / _AS_MADE)
        note.write_text(json.dumps(made), encoding="utf-8")
    log_lines, kept_s = json.loads(note.read_text(encoding="utf-8"))
    return int(log_lines), float(kept_s)


def _catalog(folder: Path) -> Path:
    return _settings(folder).data_dir / FOLDER / CATALOG_FILE


def _prepare(folder: Path, lines: int) -> tuple[int, float]:
    """Fill a lake and write its tables as Parquet; return the log's lines, and the seconds their bookings take."""
    settings = _settings(folder)
    mappings = load_mappings(MAPPINGS)
    shop = settings.shops[SHOP]
    lake = replace(Lake.open(settings), memory_limit=_MAKING_MEMORY)
    con = lake.connect()
    with all_threads(con):
        intents = generate(lake, con, lines=lines, shape=Shape(tax_mode="TAX_EXCLUDED"))
    pq.write_table(intents, folder / "intents.parquet")
    started = time.perf_counter()
    lake.transact(con, "bench", "bookings", lambda inside: bookings.remake(inside, SHOP))
    kept_s = time.perf_counter() - started
    model.attach(con, settings, mappings)
    close_month(lake, con, intents.to_batches(), shop, OCTOBER.previous(), mappings, run_id="bench")
    with all_threads(con):
        for table in TABLES:
            con.execute(f"COPY lake.core.{table} TO '{folder / table}.parquet'")
    for name, query in LOOKUPS.items():
        con.execute(f"COPY ({query}) TO '{folder / name}.parquet'")
    (log_lines,) = con.execute("SELECT count(*) FROM lake.core.mirakl__transactions").fetchone() or (0,)
    con.close()
    return int(log_lines), kept_s


def _settings(folder: Path) -> Settings:
    return load_settings(MAPPINGS / "shops.toml").model_copy(update={"data_dir": folder / "data"})


def _bounds(folder: Path) -> tuple[datetime, datetime, datetime]:
    """Return start and end of the month, and the instant before which an inspected unit should have been refunded."""
    parameters = month_parameters(_settings(folder).shops[SHOP], OCTOBER)
    return parameters["month_start"], parameters["month_end"], parameters["refund_due_before"]


def disagreements(folder: Path, others: tuple[str, ...]) -> list[str]:
    """Hold every row of every table that all make against ours; return what differs, by table and contestant."""
    con = Lake.open(_settings(folder)).connect()
    found = []
    for table, columns in AGREED.items():
        names = ", ".join(columns)
        # An accrual line of nothing is no line to the others.
        rows = f"lake.recon.{table} WHERE shop = '{SHOP}' AND month = '{OCTOBER}'"
        if table == "refund_accrual_bridge":
            rows += " AND NOT (line = 'liability_remeasured' AND amount_minor = 0)"
        for contestant in others:
            theirs = f"read_parquet('{folder}/{contestant}_{table}.parquet')"
            query = f"""
                WITH ours AS (SELECT {names} FROM {rows}), theirs AS (SELECT {names} FROM {theirs})
                SELECT (SELECT count(*) FROM ours), (SELECT count(*) FROM theirs),
                    (SELECT count(*) FROM (FROM ours EXCEPT ALL FROM theirs))
            """
            ((of_ours, of_theirs, apart),) = con.execute(query).fetchall()
            if apart or of_ours != of_theirs:
                found.append(f"{table}: {of_ours:,} rows, {contestant} {of_theirs:,}, {apart:,} of ours are not there")
    con.close()
    return found


def ours(folder: Path) -> Callable[[], int]:
    """Close the month as the product does, for the first time at each run."""
    if (folder / _AS_MADE).exists():
        for left in _catalog(folder).parent.glob(f"{CATALOG_FILE}-*"):  # a log of what the run before wrote
            left.unlink()
        shutil.copyfile(folder / _AS_MADE, _catalog(folder))
    return _closing(folder, Lake.open(_settings(folder)))


def ours_again(folder: Path) -> Callable[[], int]:
    """Close the month that ``ours`` closed again, one order line in a hundred having been read anew."""
    lake = Lake.open(_settings(folder))
    con = lake.connect()
    touch = "UPDATE lake.core.mirakl__order_lines SET run_id = 'again' WHERE hash(order_line_id) % 100 = 0"
    with all_threads(con):
        lake.transact(con, "bench", "touch", lambda inside: inside.execute(touch))
    con.close()
    return _closing(folder, lake)


def proofs(folder: Path) -> Callable[[], int]:
    """Prove the month that ``ours`` closed."""
    settings, mappings = _settings(folder), load_mappings(MAPPINGS)
    con = Lake.open(settings).connect()
    model.attach(con, settings, mappings)
    stage(con, _intents(folder), mappings, settings.shops.values())

    def prove() -> int:
        wrong = [result.message for result in check_month(con, settings.shops[SHOP], OCTOBER) if not result.ok]
        if wrong:
            raise RuntimeError("; ".join(wrong))
        return _log_lines(folder)

    return prove


def _closing(folder: Path, lake: Lake) -> Callable[[], int]:
    settings, mappings = _settings(folder), load_mappings(MAPPINGS)
    con = lake.connect()
    model.attach(con, settings, mappings)

    def close() -> int:
        close_month(lake, con, _intents(folder), settings.shops[SHOP], OCTOBER, mappings, run_id="bench")
        return _log_lines(folder)

    return close


def _intents(folder: Path) -> Iterator[pa.RecordBatch]:
    return pq.ParquetFile(folder / "intents.parquet").iter_batches(ARROW_ROWS, columns=INTENTS.names)


def _log_lines(folder: Path) -> int:
    return int(pq.read_metadata(folder / "mirakl__transactions.parquet").num_rows)


def hand_written(folder: Path, *, memory_limit: str | None = None) -> Callable[[], int]:
    """Close the month as one hand-written query set."""
    con = duckdb.connect(config={"threads": str(_THREADS), "preserve_insertion_order": "false"})
    if memory_limit:
        con.execute(f"SET memory_limit = '{memory_limit}'")
        con.execute(f"SET temp_directory = '{folder / 'spilled'}'")
    queries = (Path(__file__).parent / "hand_written.sql").read_text(encoding="utf-8").replace("$folder", str(folder))
    for name, instant in zip(("$month_start", "$month_end", "$refund_due_before"), _bounds(folder), strict=True):
        queries = queries.replace(name, f"TIMESTAMPTZ '{instant.isoformat()}'")

    def close() -> int:
        con.execute(queries)
        return _log_lines(folder)

    return close


def hand_written_in_less(folder: Path) -> Callable[[], int]:
    """Close the month as ``hand_written``, in less memory; with a tenth less it has too little for ten million lines."""
    return hand_written(folder, memory_limit=_LITTLE_MEMORY)


def with_pandas(folder: Path) -> Callable[[], int]:
    """Close the month with pandas merges."""
    return PandasClose(folder, *map(pd.Timestamp, _bounds(folder))).close


def with_datacompy(folder: Path) -> Callable[[], int]:
    """Close the month with pandas, orders and log compared by datacompy."""
    from marketplace_returns_tests.benchmarks.close_with_datacompy import DatacompyClose

    return DatacompyClose(folder, *map(pd.Timestamp, _bounds(folder))).close


CONTESTANTS = {
    "ours": ours,
    "ours, re-closed": ours_again,
    "ours, proofs": proofs,
    "hand-written": hand_written,
    f"hand-written, {_LITTLE_MEMORY}": hand_written_in_less,
    "pandas": with_pandas,
    "datacompy": with_datacompy,
}
OTHERS = ("hand-written", "pandas", "datacompy")
"""Those that make the tables of ``AGREED`` besides ours."""
IN_FRAMES = ("pandas", "datacompy")

if __name__ == "__main__":
    measure(CONTESTANTS[sys.argv[1]](Path(sys.argv[2])))
