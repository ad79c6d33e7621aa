"""The numbers of an order are kept as they land: once, beside their old ones, and in an older lake too."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake import references
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.pull import take
from marketplace_returns.lake.tables import ORDER_REFERENCES
from marketplace_returns_tests.lake import worlds

KEPT = "SELECT reference, kind, order_id, return_id FROM lake.core.order_references ORDER BY ALL"


@pytest.mark.proves("R24")
def test_numbers_are_kept_once_with_the_rows_that_carry_them(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    def land(run: str, **changes: Any) -> None:
        order = worlds.mirakl_order(1, **changes)
        take(lake, "mirakl/order", "asos_uk", [[order]], run_id=run, clock=clock, con=con)
        clock.wait(60)

    land("first", references={"order_reference_for_seller": "OURS-1"})
    first = ("OURS-1", "seller reference", "ORDER-1-A", "")
    refunds = [row for row in con.execute(KEPT).fetchall() if row[1] == "refund"]
    assert [row for row in con.execute(KEPT).fetchall() if row[1] != "refund"] == [first]
    later: dict[str, Any] = {"references": {"order_reference_for_seller": "OURS-1"}, "shipping_tracking": "TRACK-1"}
    land("second", **later, last_updated_date="2026-10-03T10:00:00Z")
    land("third", **later, last_updated_date="2026-10-04T10:00:00Z", order_state="RECEIVED")
    land("fourth", **{**later, "shipping_tracking": "TRACK-2"}, last_updated_date="2026-10-05T10:00:00Z")
    wanted = [
        first,
        ("TRACK-1", "tracking number", "ORDER-1-A", ""),
        ("TRACK-2", "tracking number", "ORDER-1-A", ""),
        *refunds,
    ]
    assert con.execute(KEPT).fetchall() == sorted(wanted), "a number that changed is still asked by"


def test_an_older_lake_is_given_its_references_when_it_is_opened(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    order = worlds.mirakl_order(1, shipping_tracking="TRACK-1")
    take(lake, "mirakl/order", "asos_uk", [[order]], run_id="run", clock=clock, con=con)
    kept = con.execute(KEPT).fetchall()
    assert ("TRACK-1", "tracking number", "ORDER-1-A", "") in kept
    lake.transact(con, "test", "as before", lambda inside: inside.execute(f"DROP TABLE {ORDER_REFERENCES.path}"))
    settings = type(
        "S", (), {"data_dir": lake.folder.parent, "lake_catalog": "", "lake_storage": "", "lake_memory_mb": 2_600}
    )()
    Lake.open(settings)
    assert con.execute(KEPT).fetchall() == kept
    lake.transact(con, "test", "again", references.remake)
    assert con.execute(KEPT).fetchall() == kept, "made again, nothing is there twice"
