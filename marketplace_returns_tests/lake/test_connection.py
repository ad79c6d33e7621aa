"""The lake's catalog, its lock, and what two writers at once may lose (nothing)."""

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

import marketplace_returns
from marketplace_returns.errors import BadSettings, LakeBusy
from marketplace_returns.lake.connection import (
    INLINED_ROWS_MAX,
    UNSAFE_OPTIMIZERS,
    Lake,
    one_snapshot,
    side_by_side,
    snapshot_of,
)
from marketplace_returns.lake.tables import LAKE_TABLES
from marketplace_returns_tests.lake.worlds import StorageSettings

PACKAGE_FOLDER = Path(marketplace_returns.__file__).parent

WRITER_TIME_OUT_S = 120


def columns_of(lake: Lake) -> set[tuple[str, str, str]]:
    con = lake.connect()
    try:
        rows = con.execute(
            "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = 'lake'"
        ).fetchall()
        return set(rows)
    finally:
        con.close()


def declared_columns() -> set[tuple[str, str]]:
    return {(f"{t.schema}.{t.name}", column.name) for t in LAKE_TABLES for column in t.columns}


def insert_carrier(con: duckdb.DuckDBPyConnection, code: str) -> None:
    con.execute(
        "INSERT INTO lake.core.mirakl__carriers (shop, code, payload_hash, fetched_at, run_id) "
        "VALUES ('asos_uk', ?, 'hash', now(), 'run')",
        [code],
    )


def carriers(con: duckdb.DuckDBPyConnection) -> list[str]:
    return [row[0] for row in con.execute("SELECT code FROM lake.core.mirakl__carriers ORDER BY code").fetchall()]


def test_a_new_lake_has_every_declared_table(lake: Lake) -> None:
    assert {(table, column) for table, column, _ in columns_of(lake)} == declared_columns()


def test_signatures_of_extensions_are_checked_by_the_first_connection_of_a_process(lake: Lake) -> None:
    program = (
        "import sys; from pathlib import Path; from marketplace_returns.lake.connection import Lake\n"
        "lake = Lake(Path(sys.argv[1]), storage=sys.argv[2])\n"
        "for con in (lake.connect(), lake.connect()):\n"
        "    print(con.execute(\"SELECT current_setting('allow_unsigned_extensions')\").fetchall())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(lake.folder), lake.storage], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["[(False,)]", "[(True,)]"]


def test_opening_again_writes_nothing(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    version = snapshot_of(con)
    Lake.open(StorageSettings(lake.folder.parent))
    assert snapshot_of(con) == version


def test_a_column_that_is_missing_is_added_and_the_rows_stay(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    insert_carrier(con, "dpd")
    con.execute("ALTER TABLE lake.core.mirakl__carriers DROP COLUMN tracking_url")
    Lake.open(StorageSettings(lake.folder.parent))
    again = lake.connect()
    assert again.execute("SELECT code, tracking_url FROM lake.core.mirakl__carriers").fetchall() == [("dpd", None)]
    again.close()


def test_a_data_folder_may_be_moved(lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rows = INLINED_ROWS_MAX + 1  # enough for a Parquet file
    con.execute(
        f"INSERT INTO lake.core.mirakl__carriers (shop, code, payload_hash, fetched_at, run_id) "
        f"SELECT 'asos_uk', i::VARCHAR, 'hash', now(), 'run' FROM range({rows}) AS numbers(i)"
    )
    con.close()
    moved = lake.folder.parent.rename(tmp_path / "elsewhere")
    there = Lake.open(StorageSettings(moved)).connect()
    assert len(carriers(there)) == rows
    there.close()


def test_every_snapshot_names_its_run(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.transact(con, "run-42", "a note", lambda inside: insert_carrier(inside, "dpd"))
    newest = con.execute(
        "SELECT author, commit_message, commit_extra_info FROM lake.snapshots() ORDER BY snapshot_id DESC LIMIT 1"
    ).fetchall()
    assert newest == [("marketplace_returns", "a note", '{"run":"run-42"}')]


def test_a_transaction_that_fails_leaves_nothing(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    def work(inside: duckdb.DuckDBPyConnection) -> None:
        insert_carrier(inside, "dpd")
        raise ValueError("second thoughts")

    with pytest.raises(ValueError, match="second thoughts"):
        lake.transact(con, "run", "fails", work)
    assert carriers(con) == []
    lake.transact(con, "run", "works", lambda inside: insert_carrier(inside, "ups"))
    assert carriers(con) == ["ups"]


def test_a_conflict_is_tried_again_from_the_start(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    tries: list[int] = []

    def work(inside: duckdb.DuckDBPyConnection) -> str:
        tries.append(len(tries))
        insert_carrier(inside, f"code-{len(tries)}")
        if len(tries) == 1:
            raise duckdb.TransactionException("Transaction conflict: another was quicker")
        return "done"

    assert lake.transact(con, "run", "twice", work) == "done"
    assert carriers(con) == ["code-2"]


def test_a_reader_of_one_snapshot_keeps_no_writer_waiting(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    reader = lake.connect()
    try:
        with one_snapshot(reader):
            assert carriers(reader) == []
            tries: list[int] = []

            def write(within: duckdb.DuckDBPyConnection) -> None:
                tries.append(1)
                insert_carrier(within, "dpd")

            lake.transact(con, "run", "while another reads", write)
            assert len(tries) == 1
            assert carriers(reader) == []
        assert carriers(reader) == ["dpd"]
    finally:
        reader.close()


def test_a_closed_version_shows_the_lake_as_it_was_and_refuses_writes(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    lake.transact(con, "run", "first", lambda inside: insert_carrier(inside, "dpd"))
    closed = snapshot_of(con)
    lake.transact(con, "run", "second", lambda inside: insert_carrier(inside, "ups"))
    as_it_was = lake.connect(version=closed)
    assert carriers(as_it_was) == ["dpd"]
    with pytest.raises(duckdb.Error, match="read-only"):
        insert_carrier(as_it_was, "fedex")
    as_it_was.close()


def test_instants_are_utc_on_every_connection(con: duckdb.DuckDBPyConnection) -> None:
    for connection in (con, con.cursor()):
        assert connection.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]


def test_no_connection_takes_the_step_that_kills_the_process(con: duckdb.DuckDBPyConnection) -> None:
    """Nor any cursor of one; every place of the package that opens DuckDB leaves that optimizer out."""
    for each in (con, con.cursor()):
        assert each.execute("SELECT current_setting('disabled_optimizers')").fetchone() == (UNSAFE_OPTIMIZERS,)
    known = duckdb.connect().execute("SELECT name FROM duckdb_optimizers()").fetchall()
    assert (UNSAFE_OPTIMIZERS,) in known
    opening = [path for path in PACKAGE_FOLDER.rglob("*.py") if "duckdb.connect(" in path.read_text(encoding="utf-8")]
    assert opening
    assert [path.name for path in opening if "UNSAFE_OPTIMIZERS" not in path.read_text(encoding="utf-8")] == []


def test_a_wrong_catalog_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"lake_catalog 'mysql://user:\*\*\*@host/db' is not a catalog"):
        Lake.open(StorageSettings(tmp_path, lake_catalog="mysql://user:word@host/db"))
    with pytest.raises(BadSettings, match="the lake cannot be opened") as refused:
        Lake.open(StorageSettings(tmp_path, lake_catalog="postgresql://user:word@127.0.0.1:1/db"))
    assert "word" not in str(refused.value)


def test_a_locked_lake_is_told_in_bounded_time(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    impatient = Lake(lake.folder, lake.catalog, lake.storage, lock_wait_s=0.2)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, filelock\n"
            "with filelock.FileLock(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()",
            str(lake.folder / "catalog.lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LakeBusy, match=r"no turn within 0.2 s.*nothing was written.*catalog.sqlite"):
            impatient.transact(con, "run", "blocked", lambda inside: insert_carrier(inside, "dpd"))
    finally:
        holder.communicate(timeout=WRITER_TIME_OUT_S)
    assert carriers(con) == []


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from marketplace_returns.lake.connection import Lake
    from marketplace_returns_tests.lake.worlds import StorageSettings

    lake = Lake.open(StorageSettings(Path(sys.argv[1]), lake_catalog=sys.argv[2]))
    con = lake.connect()
    merge = '''
        MERGE INTO lake.core.mirakl__carriers AS kept
        USING (SELECT ? AS code UNION ALL SELECT 'shared') AS came ON kept.shop = 'asos_uk' AND kept.code = came.code
        WHEN MATCHED THEN UPDATE SET label = (CAST(kept.label AS BIGINT) + 1)::VARCHAR
        WHEN NOT MATCHED THEN INSERT (shop, code, label, payload_hash, fetched_at, run_id)
            VALUES ('asos_uk', came.code, '1', 'hash', now(), 'run')
    '''
    for number in range(int(sys.argv[4])):
        code = f"{sys.argv[3]}-{number}"
        lake.transact(con, "run", "merge", lambda inside: inside.execute(merge, [code]).fetchall())
    """
)


def two_writers_lose_nothing(data_dir: Path, catalog: str, merges: int) -> None:
    lake = Lake.open(StorageSettings(data_dir, lake_catalog=catalog))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(data_dir), catalog, name, str(merges)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("first", "second")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=WRITER_TIME_OUT_S)
        assert writer.returncode == 0, errors
    con = lake.connect()
    rows = con.execute("SELECT code, label FROM lake.core.mirakl__carriers").fetchall()
    con.close()
    own = {(f"{name}-{number}", "1") for name in ("first", "second") for number in range(merges)}
    assert sorted(rows) == sorted(own | {("shared", str(2 * merges))})


@pytest.mark.played
def test_two_processes_writing_at_once_lose_nothing(lake: Lake) -> None:
    two_writers_lose_nothing(lake.folder.parent, "", merges=40)


@pytest.mark.played
@pytest.mark.postgres
def test_two_processes_writing_at_once_over_postgres_lose_nothing(tmp_path: Path, postgres_database: str) -> None:
    two_writers_lose_nothing(tmp_path / "data", postgres_database, merges=15)


@pytest.mark.postgres
def test_two_inserts_of_one_key_at_once_make_one_row_over_postgres(tmp_path: Path, postgres_database: str) -> None:
    lake = Lake.open(StorageSettings(tmp_path / "data", lake_catalog=postgres_database))
    barrier = threading.Barrier(2, timeout=WRITER_TIME_OUT_S)

    def insert_where_missing(inside: duckdb.DuckDBPyConnection) -> None:
        if carriers(inside) == []:
            with suppress(threading.BrokenBarrierError):  # where writers queue, nobody meets
                barrier.wait(1.0)
            insert_carrier(inside, "dpd")

    def write() -> None:
        con = lake.connect()
        lake.transact(con, "run", "insert", insert_where_missing)
        con.close()

    with ThreadPoolExecutor(2) as writers:
        for done in [writers.submit(write) for _ in range(2)]:
            done.result()
    con = lake.connect()
    assert carriers(con) == ["dpd"]
    con.close()


@pytest.mark.postgres
def test_a_locked_lake_over_postgres_is_told_in_bounded_time(tmp_path: Path, postgres_database: str) -> None:
    lake = Lake.open(StorageSettings(tmp_path / "data", lake_catalog=postgres_database))
    impatient = Lake(lake.folder, lake.catalog, lake.storage, lock_wait_s=0.2)
    con, other = lake.connect(), lake.connect()

    def hold(inside: duckdb.DuckDBPyConnection) -> None:
        with pytest.raises(LakeBusy, match=r"no turn within 0.2 s.*nothing was written"):
            impatient.transact(other, "run", "blocked", lambda within: insert_carrier(within, "dpd"))
        insert_carrier(inside, "ups")

    lake.transact(con, "run", "holds", hold)
    assert carriers(con) == ["ups"]
    con.close()
    other.close()


def test_questions_asked_side_by_side_are_of_one_state_while_another_writes(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    ended = threading.Event()

    def write() -> None:
        with lake.connect() as own:
            while not ended.is_set():
                insert_carrier(own, "dpd")

    def count(own: duckdb.DuckDBPyConnection) -> int:
        return len(carriers(own))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = [side_by_side(con, [count] * 6) for _ in range(10)]
    finally:
        ended.set()
        writer.join()
    assert [set(each) for each in told] == [{each[0]} for each in told]
    assert told[-1][0] > told[0][0], "the other wrote meanwhile"


def test_answers_come_in_the_order_of_the_questions_and_a_failure_is_raised(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    insert_carrier(con, "dpd")
    assert side_by_side(con, [lambda _, number=number: number for number in range(5)]) == [0, 1, 2, 3, 4]
    assert side_by_side(con, []) == []
    with pytest.raises(duckdb.CatalogException):
        side_by_side(con, [carriers, lambda own: own.execute("FROM lake.core.not_there")])
    assert side_by_side(con, [carriers]) == [["dpd"]]
