"""The contestants of the close's benchmark answer the same, and a row that differs is told."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from marketplace_returns_tests.benchmarks import close

# datacompy comes with the extra bench.
OTHERS = tuple(name for name in close.OTHERS if name != "datacompy" or find_spec(name))


@pytest.mark.played
def test_contestants_agree_on_every_row_and_what_differs_is_told(tmp_path: Path) -> None:
    close._prepare(tmp_path, 2_000)
    for name, contestant in close.CONTESTANTS.items():
        if name != "datacompy" or name in OTHERS:
            contestant(tmp_path)()

    assert close.disagreements(tmp_path, OTHERS) == []

    made = tmp_path / "pandas_order_vs_ledger.parquet"
    con = duckdb.connect()
    con.execute(f"CREATE TABLE rows AS FROM read_parquet('{made}')")
    ((lines,),) = con.execute("SELECT count(*) FROM rows").fetchall()
    con.execute(
        "UPDATE rows SET ledger_sales_minor = ledger_sales_minor + 1 WHERE order_line_id = (SELECT min(order_line_id) FROM rows)"
    )
    con.execute(f"COPY rows TO '{made}'")

    assert lines > 1_000
    assert close.disagreements(tmp_path, OTHERS) == [
        f"order_vs_ledger: {lines:,} rows, pandas {lines:,}, 1 of ours are not there"
    ]
