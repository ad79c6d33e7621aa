"""The month's close beside a hand-written DuckDB query and pandas merges, over the same rows.

Ours reads the lake and writes the month-end tables into it; the others read the same tables from Parquet and write
Parquet. Measured is the close whole, from an open connection to the committed tables: the intents taken in, proofs of
keys and bookings, the model's views, every table, the lake's transaction. Opening connections and importing are not. The
month before is closed already, as in any month but the first. What ours has done before, as the log landed (the bookings),
is measured apart and told below the table, so that nobody need ask where that work went.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console

from marketplace_returns import model
from marketplace_returns.lake import bookings
from marketplace_returns.lake.connection import Lake
from marketplace_returns.mappings import load_mappings
from marketplace_returns.reconciliation.close import close_month
from marketplace_returns.settings import Settings, load_settings
from marketplace_returns_tests.benchmarks.contest import best_of, measure, show
from marketplace_returns_tests.reconciliation.generate import SHOP, generate
from marketplace_returns_tests.reconciliation.worlds import MAPPINGS, OCTOBER

MODULE = "marketplace_returns_tests.benchmarks.close"
TABLES = (
    "mirakl__transactions",
    "mirakl__order_lines",
    "mirakl__order_line_taxes",
    "mirakl__refunds",
    "reveni__refunds",
    "reveni__returns",
    "return_unit_assignments",
    "receipt_assignments",
    "peoplevox__returns",
)
TARGET = "Targets: ours at most 2 x hand-written, at least 3 x faster than pandas."
REPEATS = 3
_THREADS = 2


def bench_close(console: Console, sizes: tuple[int, ...]) -> None:
    """Print one table per size in order lines."""
    for lines in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-close-") as folder:
            log_lines, kept_s = _prepare(Path(folder), lines)
            runs = best_of(REPEATS, MODULE, tuple(CONTESTANTS), folder)
            title = f"Close of a month: {lines:,} order lines, {log_lines:,} log lines"
            kept = f"Bookings kept as the log lands: {kept_s:.2f} s for {log_lines:,} log lines."
            show(console, title, "log lines", runs, f"{kept} {TARGET}")


def _prepare(folder: Path, lines: int) -> tuple[int, float]:
    """Fill a lake and write its tables as Parquet; return the log's lines, and the seconds their bookings take."""
    settings = _settings(folder)
    mappings = load_mappings(MAPPINGS)
    shop = settings.shops[SHOP]
    lake = Lake.open(settings)
    con = lake.connect()
    intents = generate(lake, con, lines=lines, tax_mode="TAX_EXCLUDED")
    pq.write_table(intents, folder / "intents.parquet")
    started = time.perf_counter()
    lake.transact(con, "bench", "bookings", lambda inside: bookings.remake(inside, SHOP))
    kept_s = time.perf_counter() - started
    model.attach(con, settings, mappings)
    close_month(lake, con, intents, shop, OCTOBER.previous(), mappings, run_id="bench")
    for table in TABLES:
        con.execute(f"COPY lake.core.{table} TO '{folder / table}.parquet'")
    (log_lines,) = con.execute("SELECT count(*) FROM lake.core.mirakl__transactions").fetchone() or (0,)
    con.close()
    return int(log_lines), kept_s


def _settings(folder: Path) -> Settings:
    return load_settings(MAPPINGS / "shops.toml").model_copy(update={"data_dir": folder / "data"})


def ours(folder: Path) -> Callable[[], int]:
    """Close the month as the product does."""
    settings = _settings(folder)
    mappings = load_mappings(MAPPINGS)
    lake = Lake.open(settings)
    con = lake.connect()
    model.attach(con, settings, mappings)

    def close() -> int:
        intents = pq.read_table(folder / "intents.parquet")
        close_month(lake, con, intents, settings.shops[SHOP], OCTOBER, mappings, run_id="bench")
        return pq.read_metadata(folder / "mirakl__transactions.parquet").num_rows

    return close


def hand_written(folder: Path) -> Callable[[], int]:
    """Close the month as one hand-written query set."""
    con = duckdb.connect(config={"threads": str(_THREADS), "preserve_insertion_order": "false"})
    queries = (Path(__file__).parent / "hand_written.sql").read_text(encoding="utf-8").replace("$folder", str(folder))

    def close() -> int:
        con.execute(queries)
        return pq.read_metadata(folder / "mirakl__transactions.parquet").num_rows

    return close


def with_pandas(folder: Path) -> Callable[[], int]:
    """Close the month with pandas merges."""
    return lambda: _merge(folder)


def _merge(folder: Path) -> int:

    def read(name: str, columns: list[str] | None = None) -> pd.DataFrame:
        return pd.read_parquet(folder / f"{name}.parquet", columns=columns, dtype_backend="pyarrow")

    log = read(
        "mirakl__transactions", ["billing_cycle_id", "transaction_type", "order_line_id", "refund_id", "amount_minor"]
    )
    payout = log.groupby(["billing_cycle_id", "transaction_type"], dropna=False)["amount_minor"].sum()
    payout.reset_index().to_parquet(folder / "pandas_payout.parquet")

    sales = log[log["order_line_id"].notna() & log["refund_id"].isna()]
    pivot = sales.pivot_table(
        index="order_line_id", columns="transaction_type", values="amount_minor", aggfunc="sum", fill_value=0
    )
    taxes = read("mirakl__order_line_taxes", ["order_line_id", "tax_kind", "amount_minor"]).pivot_table(
        index="order_line_id", columns="tax_kind", values="amount_minor", aggfunc="sum", fill_value=0
    )
    lines = read(
        "mirakl__order_lines",
        [
            "order_id",
            "order_line_id",
            "price_minor",
            "shipping_price_minor",
            "commission_fee_minor",
            "commission_vat_minor",
        ],
    )
    compared = lines.merge(taxes.reset_index(), on="order_line_id", how="left").merge(
        pivot.reset_index(), on="order_line_id", how="outer"
    )
    compared["is_matched"] = (
        (compared["price_minor"] == compared["ORDER_AMOUNT"])
        & (compared["shipping_price_minor"] == compared["ORDER_SHIPPING_AMOUNT"])
        & (compared["product"] == compared["ORDER_AMOUNT_TAX"])
        & (compared["commission_fee_minor"] == -compared["COMMISSION_FEE"])
        & (compared["commission_vat_minor"] == -compared["COMMISSION_VAT"])
    )
    compared.to_parquet(folder / "pandas_lines.parquet")

    booked = log[log["refund_id"].notna()]
    is_order = booked["transaction_type"].str.startswith("REFUND_ORDER")
    settled = (
        pd.DataFrame(
            {
                "settled": -booked[is_order].groupby("refund_id")["amount_minor"].sum(),
                "credited": booked[~is_order].groupby("refund_id")["amount_minor"].sum(),
                "billing_cycle_id": booked.groupby("refund_id")["billing_cycle_id"].first(),
            }
        )
        .rename_axis("refund_id")
        .reset_index()
    )
    refunds = read(
        "mirakl__refunds",
        [
            "refund_id",
            "order_id",
            "order_line_id",
            "amount_minor",
            "tax_minor",
            "commission_minor",
            "created_at",
            "paid_at",
        ],
    )
    intents = read("intents", ["external_ref", "return_unit_id", "amount_minor", "sent_at"]).rename(
        columns={"external_ref": "refund_id", "amount_minor": "intended"}
    )
    units = read("return_unit_assignments", ["return_id", "order_line_id", "ordinal"])
    units["return_unit_id"] = units["order_line_id"] + "#" + units["ordinal"].astype("string[pyarrow]")
    receipts = read("peoplevox__returns", ["return_code", "item_code", "row_no", "return_condition", "returned_at"])
    receipts["receipt_event_id"] = (
        "peoplevox:"
        + receipts["return_code"]
        + ":"
        + receipts["item_code"]
        + ":"
        + receipts["row_no"].astype("string[pyarrow]")
    )
    units = (
        units[["return_id", "return_unit_id"]]
        .merge(read("receipt_assignments", ["receipt_event_id", "return_unit_id"]), on="return_unit_id", how="left")
        .merge(receipts, on="receipt_event_id", how="left")
        .rename(columns={"return_condition": "disposition", "returned_at": "inspected_at"})
    )
    platform = read("reveni__refunds", ["platform_return_id", "amount_minor"]).merge(
        read("reveni__returns", ["platform_return_id", "external_id"]), on="platform_return_id"
    )
    platform = (
        platform.groupby("external_id")["amount_minor"].sum().rename_axis("return_id").rename("platform").reset_index()
    )
    matched = (
        refunds.merge(settled, on="refund_id", how="outer")
        .merge(intents, on="refund_id", how="outer")
        .merge(units, on="return_unit_id", how="outer")
        .merge(platform, on="return_id", how="left")
    )
    made = matched["amount_minor"] + matched["tax_minor"]
    matched["verdict"] = np.select(
        [
            matched["intended"].isna().to_numpy(bool),
            matched["amount_minor"].isna().to_numpy(bool),
            matched["settled"].isna().to_numpy(bool),
            ((matched["intended"] != made) | (matched["settled"] != made)).fillna(value=True).to_numpy(bool),
            (matched["credited"].fillna(0) == 0).to_numpy(bool),
            (matched["inspected_at"] > matched["sent_at"]).fillna(value=True).to_numpy(bool),
        ],
        [
            "MANUAL",
            "MISSING_EXTRACT",
            "TIMING_REFUND_PENDING",
            "UNKNOWN",
            "COMMISSION_CREDIT_MISSING",
            "REFUND_WITHOUT_RECEIPT",
        ],
        default="MATCHED",
    )
    matched.to_parquet(folder / "pandas_refunds.parquet")
    return len(log)


CONTESTANTS = {"ours": ours, "hand-written": hand_written, "pandas": with_pandas}

if __name__ == "__main__":
    measure(CONTESTANTS[sys.argv[1]](Path(sys.argv[2])))
