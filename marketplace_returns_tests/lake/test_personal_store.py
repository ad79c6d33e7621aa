"""Personal fields beside the lake: what was fetched last, deleted for good, and not kept again once erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake.connection import Lake, snapshot_of
from marketplace_returns.lake.erasing import cut_landed_down, forget_past
from marketplace_returns.lake.objects import MIRAKL_ORDER, PEOPLEVOX_DESPATCH
from marketplace_returns.lake.personal_store import PersonalRow, PersonalStore, object_name
from marketplace_returns.lake.pull import take
from marketplace_returns_tests.lake.worlds import StorageSettings, mirakl_order

SHOP = "asos_uk"
NOON = datetime(2026, 10, 3, 12, tzinfo=UTC)
MARK = "Ximena"
pytestmark = pytest.mark.proves("R44")


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PersonalStore:
    """A new store in a file, or in a Postgres database."""
    if request.param == "postgres":
        return PersonalStore(str(request.getfixturevalue("postgres_database")))
    return PersonalStore(tmp_path / "personal.db")


def row(number: int, name: str = MARK, *, kind: str = "order", order: str = "", at: datetime = NOON) -> PersonalRow:
    order_id = f"O-{number}" if kind == "order" else order
    return PersonalRow(SHOP, "mirakl", kind, f"O-{number}", order_id, f'{{"customer":{{"firstname":"{name}"}}}}', at)


def names(store: PersonalStore) -> dict[str, str]:
    found = store.fields(SHOP, "mirakl", "order", [f"O-{number}" for number in range(1, 2_000)])
    return {key: fields["customer.firstname"] for key, fields in found.items()}


def test_what_was_fetched_last_is_kept_and_nothing_older(store: PersonalStore, tmp_path: Path) -> None:
    later = NOON + timedelta(hours=1)
    assert store.keep([row(1), row(2, "Otra")]) == 2
    assert store.keep([row(1), row(2, "Otra")]) == 0
    assert store.keep([row(1, "Yolanda", at=later), row(1, "Zoe")]) == 1
    assert store.keep([row(1, "Older", at=NOON)]) == 0
    assert names(store) == {"O-1": "Yolanda", "O-2": "Otra"}
    if (tmp_path / "personal.db").exists():
        assert MARK.encode() not in (tmp_path / "personal.db").read_bytes()


def test_what_is_erased_is_gone_and_kept_no_more(store: PersonalStore, tmp_path: Path) -> None:
    orders = [row(1), row(2, "Otra")]
    # A transaction has the number of an order by chance; a return says which order it is of, a receipt does not.
    others = [
        row(1, "Chance", kind="invoice"),
        row(7, "Ret", kind="return", order="O-1"),
        row(8, "Rec", kind="receipt"),
    ]
    store.keep([*orders, *others])
    assert store.erase(SHOP, "O-1", {object_name("mirakl", "receipt", "O-8")}, NOON) == 3
    assert store.erase(SHOP, "O-1", (), NOON + timedelta(days=1)) == 0
    assert store.keep([*orders, *others]) == 0
    assert {(each.object_type, each.object_id) for each in store.held()} == {("order", "O-2"), ("invoice", "O-1")}
    assert {each.erased_at for each in store.erasures(SHOP)} == {NOON}
    if (tmp_path / "personal.db").exists():
        assert MARK.encode() not in (tmp_path / "personal.db").read_bytes()
        assert [path.name for path in tmp_path.iterdir()] == ["personal.db"]


def test_a_copy_brings_rows_and_erasures_and_no_one_back(store: PersonalStore, tmp_path: Path) -> None:
    store.keep([row(number, f"N{number}") for number in range(1, 1_200)])
    copy = PersonalStore(tmp_path / "copy.db")
    store.copy_to(copy)
    assert names(copy) == names(store)
    store.erase(SHOP, "O-5", (), NOON)
    copy.erase(SHOP, "O-6", (), NOON)
    store.settle(store.erasures(), NOON)
    copy.copy_to(store)
    assert set(names(copy)) - set(names(store)) == {"O-5"}
    assert {each.order_id for each in store.erasures() if not each.is_settled} == {"O-6"}
    store.unsettle()
    assert not [each for each in store.erasures() if each.is_settled]


def test_an_order_that_is_read_and_erased_at_once_is_gone(store: PersonalStore) -> None:
    works: list[Callable[[], int]] = [
        *(lambda at=at: store.keep([row(1, f"N{at}", at=NOON + timedelta(minutes=at))]) for at in range(6)),  # type: ignore[misc]
        *(lambda: store.erase(SHOP, "O-1", (), NOON) for _ in range(2)),
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda work: work(), works))
    assert names(store) == {}


def test_rows_end_as_they_were_read(store: PersonalStore) -> None:
    store.keep([row(1), row(2)])
    due = store.older(SHOP, "mirakl", "order", NOON + timedelta(seconds=1))
    store.keep([row(2, "Moved", at=NOON + timedelta(hours=1))])
    assert store.forget(due) == 1
    assert names(store) == {"O-2": "Moved"}
    assert store.kinds() == [(SHOP, "mirakl", "order")]


def test_an_older_lake_gives_its_personal_fields_away(tmp_path: Path) -> None:
    settings = StorageSettings(tmp_path / "data")
    con = Lake.open(settings).connect()
    con.execute(
        "CREATE TABLE lake.landing.personal AS SELECT 'asos_uk' AS shop, 'mirakl' AS source, 'order' AS object_type, "
        "'O-1' AS object_id, 'h' AS content_hash, '{\"customer\":{\"firstname\":\"Ximena\"}}' AS fields, now() AS fetched_at"
    )
    con.close()
    lake = Lake.open(settings)
    assert names(lake.personal) == {"O-1": MARK}
    con = lake.connect()
    assert con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'personal'").fetchall() == []
    forget_past(lake, con)
    con.close()
    lake.personal.erase(SHOP, "O-1", (), NOON)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and MARK.encode() in path.read_bytes()]


def test_an_object_that_cannot_be_read_stays_unreadable_when_it_is_cut_down(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    broken = mirakl_order(1, order_lines=[MARK], gift=MARK)
    take(lake, "mirakl/order", SHOP, [[broken, mirakl_order(2)]], run_id="r", clock=clock, con=con)
    held = "SELECT reason, payload_hash, raw_row LIKE '%Ximena%' FROM lake.landing.quarantine"
    ((reason, digest, _),) = con.execute(held).fetchall()
    assert cut_landed_down(lake, con, SHOP, ["order/ORDER-1-A"], run_id="e") == 1
    assert cut_landed_down(lake, con, SHOP, ["order/ORDER-1-A"], run_id="e") == 0
    assert con.execute(held).fetchall() == [(reason, digest, False)]
    ((body,),) = con.execute("SELECT body FROM lake.landing.payloads WHERE object_id = 'ORDER-1-A'").fetchall()
    assert MARK not in body


def test_what_is_cut_down_is_in_no_catalog_of_postgres_and_no_file(
    postgres_database: str, tmp_path: Path, clock: FixedClock
) -> None:
    lake = Lake.open(StorageSettings(tmp_path / "data", lake_catalog=postgres_database))
    con = lake.connect()
    orders = [mirakl_order(1, gift=MARK), mirakl_order(2, gift="Otra")]
    take(lake, "mirakl/order", SHOP, [orders], run_id="r", clock=clock, con=con)
    version = snapshot_of(con)
    assert cut_landed_down(lake, con, SHOP, ["order/ORDER-1-A"], run_id="e") == 1
    forget_past(lake, con)
    bodies = "SELECT object_id FROM lake.landing.payloads WHERE body LIKE '%gift%'"
    assert con.execute(bodies).fetchall() == [("ORDER-2-A",)]
    stats = "SELECT count(*) FROM __ducklake_metadata_lake.marketplace_returns_lake.{} WHERE min_value LIKE '%Xim%' OR max_value LIKE '%Xim%'"
    for table in ("ducklake_table_column_stats", "ducklake_file_column_stats"):
        assert con.execute(stats.format(table)).fetchall() == [(0,)]
    con.close()
    files = list((tmp_path / "data").rglob("*.parquet"))
    assert not [path for path in files if MARK in str(pq.read_table(path).to_pydict())]
    then = lake.connect(version=version)
    assert then.execute("SELECT count(*) FROM lake.core.mirakl__orders").fetchall() == [(2,)]
    then.close()


def test_only_what_is_read_is_left_and_a_part_of_another_form_is_still_one() -> None:
    assert PEOPLEVOX_DESPATCH.only_read({"site": "MAIN", "Gift": MARK}) == {"site": "MAIN"}
    for odd in ({"order_lines": {"a": MARK}}, {"channel": [MARK]}, {"channel": MARK}, {"order_lines": [[MARK]]}):
        less = MIRAKL_ORDER.only_read({"order_id": "O", "order_lines": [], **odd})
        assert MARK not in str(less)
        assert MIRAKL_ORDER.fault_of(less, set())


def test_what_is_kept_already_is_found_by_its_key_not_by_reading_all_there_is(tmp_path: Path) -> None:
    store = PersonalStore(tmp_path / "personal.db")
    asked: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, words: str, values: object, *_rest: object) -> None:
        if words.startswith("SELECT") and "FROM personal_fields" in words:
            asked.append((words, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        store.keep([row(1), row(2), row(1, kind="return", order="O-1")])
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    with closing(sqlite3.connect(tmp_path / "personal.db")) as connection:
        plans = [connection.execute(f"EXPLAIN QUERY PLAN {words}", values).fetchall() for words, values in asked]
    assert plans
    assert all("object_type=? AND object_id=?" in str(plan) for plan in plans)
