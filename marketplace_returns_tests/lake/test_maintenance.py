from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import Lake, snapshot_of
from marketplace_returns.lake.maintenance import maintain
from marketplace_returns.lake.pull import take
from marketplace_returns_tests.lake.worlds import PEOPLEVOX_SALES_ORDER


def pull_states(lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock, *states: str) -> list[int]:
    """Pull one sales order in one state after the other; return the version after each."""
    versions = []
    for state in states:
        page = [PEOPLEVOX_SALES_ORDER | {"status": state}]
        take(lake, "peoplevox/sales_order", "asos_uk", [page], run_id="run", clock=clock, con=con)
        versions.append(snapshot_of(con))
        clock.wait(60)
    return versions


def states(lake: Lake, version: int | None = None) -> list[str]:
    con = lake.connect(version=version)
    try:
        return [row[0] for row in con.execute("SELECT status FROM lake.core.peoplevox__sales_orders").fetchall()]
    finally:
        con.close()


@pytest.mark.played
def test_upkeep_keeps_what_is_there_and_what_closed_months_show(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    versions = pull_states(lake, con, clock, "SHIPPING", "SHIPPED", "RECEIVED", "CLOSED")
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    report = maintain(lake, tomorrow, [versions[1]], keep_days=0)
    assert report.snapshots_expired >= 3
    assert report.rows_flushed > 0
    assert states(lake) == ["CLOSED"]
    assert states(lake, versions[1]) == ["SHIPPED"]
    with pytest.raises(duckdb.Error):
        states(lake, versions[2])
    again = maintain(lake, tomorrow, [versions[1]], keep_days=0)
    assert (again.rows_flushed, again.files_after, again.orphans_deleted) == (0, report.files_after, 0)


def test_snapshots_of_the_last_days_stay(lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock) -> None:
    versions = pull_states(lake, con, clock, "SHIPPING", "SHIPPED")
    report = maintain(lake, clock.now() + timedelta(days=29), keep_days=60)
    assert report.snapshots_expired == 0
    assert states(lake, versions[0]) == ["SHIPPING"]


def test_negative_days_are_refused(lake: Lake) -> None:
    with pytest.raises(BadArgument, match="number of days"):
        maintain(lake, datetime.now(UTC), keep_days=-1)
