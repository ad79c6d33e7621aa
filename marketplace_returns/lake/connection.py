"""The lake: where it is, how to reach it and how to write to it.

Here lives everything that knows that the lake is a DuckLake: extensions, catalog, storage, the lock and the retry. What
must not: what a table means, or SQL of a business thing. The invariant: every change of the lake is one short
transaction that names its run, and either all of it is there or nothing.

``connect`` gives a connection of its own (with its own memory, views and temporary files), so that readers never share
state; a connection belongs to one thread. Compute outside of ``transact``, write inside it.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol, TypeVar
from uuid import uuid4

import duckdb
import msgspec
import psycopg
from duckdb_extensions import import_extension
from filelock import FileLock, Timeout

from marketplace_returns.clock import SystemClock
from marketplace_returns.errors import BadSettings, LakeBusy
from marketplace_returns.lake.personal_store import PERSONAL_FILE, PersonalRow, PersonalStore
from marketplace_returns.lake.tables import BOOKINGS, LAKE_TABLES, ORDER_REFERENCES, PAYLOADS, Table

T = TypeVar("T")

CATALOG = "lake"
FOLDER = "lake"
RESTORING = "restoring"  # what a restore is putting together, in the data folder
CATALOG_FILE = "catalog.sqlite"
FILES_FOLDER = "files"
LOCK_FILE = "catalog.lock"
METADATA_SCHEMA = "marketplace_returns_lake"  # where the catalog's own tables are in a Postgres database
AUTHOR = "marketplace_returns"
INLINED_ROWS_MAX = 500  # inserts up to this many rows stay in the catalog until maintenance writes them to files
ROW_GROUP_ROWS = 20_480  # one order's rows are read out of so many: a third of the time of DuckDB's own 122,880
ATTEMPTS_MAX = 10
BACK_OFF_FIRST_S = 0.05
BACK_OFF_MAX_S = 2.0
THREADS_MAX = 4

# What the catalogs say when somebody else was quicker; the transaction is gone and may be begun again.
CONTENTION = (
    "database is locked",
    "conflict",
    "could not serialize",
    "deadlock detected",
    "concurrent",
    "duplicate key value",
    "already exists",
)

_OPTIONS = {"data_inlining_row_limit": INLINED_ROWS_MAX, "parquet_row_group_size": ROW_GROUP_ROWS}
_SIGN = f"CALL {CATALOG}.set_commit_message(?, ?, extra_info => ?)"
_FORMER_PERSONAL = f"{CATALOG}.landing.personal"  # of lakes made before there was the store
_DROP_FORMER_PERSONAL = f"DROP TABLE {_FORMER_PERSONAL}"
_MOVED_AT_ONCE = 5_000
UNSAFE_OPTIMIZERS: Final = "top_n_window_elimination"
"""What DuckDB 1.5 must leave: a window's first row (``QUALIFY row_number() OVER (...) = 1``) over a UNION kills the process (a segmentation
fault). Every connection of ours is made without it."""
SIDES: Final = 2
_temporary_numbers = itertools.count()
_verified: set[str] = set()  # the extensions whose signature this process has checked


def open_memory() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB with nothing in it and no lake, on one thread and in UTC."""
    con = duckdb.connect(config={"threads": "1", "disabled_optimizers": UNSAFE_OPTIMIZERS})
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    return con


class LakeSettings(Protocol):
    """The settings the lake needs; ``settings.Settings`` has them."""

    @property
    def data_dir(self) -> Path:
        """Folder of the SQLite catalog, the files and the temporary files."""

    @property
    def lake_catalog(self) -> str:
        """Empty for the SQLite catalog, or a ``postgresql://`` URL."""

    @property
    def lake_storage(self) -> str:
        """Empty for files in ``data_dir``, or ``s3://bucket/prefix``."""

    @property
    def lake_memory_mb(self) -> int:
        """Memory that DuckDB may count of one connection, in MB, before it spills to disk."""


@dataclass(frozen=True)
class Lake:
    """A lake that is there and has every declared table; make one with ``Lake.open``.

    Attributes:
        folder: local folder of the SQLite catalog, the lock, and the files unless ``storage`` says otherwise.
        catalog: empty for SQLite, or a ``postgresql://`` URL.
        storage: where the Parquet files are.
        lock_wait_s: how long a write waits for its turn before ``LakeBusy``.
        memory_limit: what DuckDB counts of one connection before it spills to disk; the process takes a third more.
        wait: how to let seconds pass between two tries.
    """

    folder: Path
    catalog: str = ""
    storage: str = ""
    lock_wait_s: float = 60.0
    memory_limit: str = "2600MB"
    wait: Callable[[float], None] = SystemClock().wait

    @cached_property
    def personal(self) -> PersonalStore:
        """The personal fields of what the lake holds, opened at its first use."""
        return PersonalStore(self.catalog or self.folder.parent / PERSONAL_FILE)

    @classmethod
    def open(cls, settings: LakeSettings, *, lock_wait_s: float = 60.0) -> Lake:
        """Open the lake of the settings, and create it or its missing tables and columns where they are not there yet.

        Raises:
            BadSettings: catalog or storage cannot be reached or understood.
            LakeBusy: the catalog stayed locked beyond ``lock_wait_s``.
        """
        if settings.lake_catalog and not settings.lake_catalog.startswith(("postgresql://", "postgres://")):
            raise BadSettings(
                f"lake_catalog {_without_password(settings.lake_catalog)!r} is not a catalog: "
                "leave it empty for the SQLite file in data_dir, or give a postgresql:// URL"
            )
        folder = Path(settings.data_dir).resolve() / FOLDER
        if not folder.exists() and (folder.parent / RESTORING).exists():
            raise BadSettings(f"{folder.parent / RESTORING}: a restore was interrupted: run `restore` again")
        folder.mkdir(parents=True, exist_ok=True)
        storage = settings.lake_storage or str(folder / FILES_FOLDER)
        lake = cls(folder, settings.lake_catalog, storage, lock_wait_s, f"{settings.lake_memory_mb}MB")
        con = lake._begin_use()
        try:
            if missing := _missing_ddl(con):
                if _DROP_FORMER_PERSONAL in missing:
                    lake._take_personal_out(con)
                lake.transact(con, "open", "create missing tables", _create_missing)
        finally:
            con.close()
        return lake

    def connect(self, *, version: int | None = None) -> duckdb.DuckDBPyConnection:
        """Return a new connection with the lake attached as ``lake``, in UTC; takes half a second, later ones 0.05 s.

        Args:
            version: a snapshot of the lake to see instead of the newest; such a connection cannot write.
        """
        temporary = self.folder.parent / "tmp" / f"duckdb-{os.getpid()}-{next(_temporary_numbers)}"
        temporary.parent.mkdir(exist_ok=True)  # DuckDB makes the last folder only, and only when memory is short
        con = duckdb.connect(
            config={
                "threads": "1",  # a small question on two threads takes three times as long; see all_threads
                "memory_limit": self.memory_limit,
                "temp_directory": str(temporary),
                "checkpoint_threshold": "1TB",  # memory is gone with the connection: to compress tables in it at a commit is in vain
                "preserve_insertion_order": "false",  # order is stated where it matters; less memory in bulk writes
                "autoload_known_extensions": "false",  # what is loaded is named here
                "disabled_optimizers": UNSAFE_OPTIMIZERS,
                # A signature is checked once per process: to hash 70 MB is nearly all of what connecting costs.
                "allow_unsigned_extensions": str(_verified.issuperset(self._extensions())).lower(),
            }
        )
        try:
            con.execute("SET GLOBAL TimeZone = 'UTC'")
            self._attach(con, version)
            con.execute("SET GLOBAL parquet_metadata_cache = true")  # a file of the lake never changes
        except BaseException:
            con.close()
            raise
        return con

    @contextmanager
    def in_memory(self, doing: str) -> Iterator[None]:
        """Let a block that takes more memory than it may end in words: BadSettings, which names ``doing``, the limit and the setting."""
        try:
            yield
        except duckdb.Error as error:
            if not is_short_of_memory(error):
                raise
            raise BadSettings(
                f"{doing} takes more memory than lake_memory_mb gives ({self.memory_limit}): raise it in shops.toml, and run again"
            ) from error

    def transact(
        self,
        con: duckdb.DuckDBPyConnection,
        run_id: str,
        message: str,
        work: Callable[[duckdb.DuckDBPyConnection], T],
        *,
        ready: Callable[[], None] | None = None,
    ) -> T:
        """Run ``work`` as one transaction that names its run, again from the start when another writer was quicker.

        ``work`` may run several times, so it changes nothing but the lake through ``con``, and it must not call
        ``transact``. ``ready`` is called before each try, when no other writer can come before its end. Writers queue: at a file lock with the SQLite catalog, at a lock of the database with Postgres.

        Raises:
            LakeBusy: no turn within ``lock_wait_s``, or every try met a conflict; nothing was written.
        """
        note = msgspec.json.encode({"run": run_id}).decode()

        def once() -> T:
            if ready is not None:
                ready()
            con.execute("BEGIN")
            try:
                result = work(con)
                con.execute(_SIGN, [AUTHOR, message, note])
                con.execute("COMMIT")
            except BaseException:
                _roll_back(con)
                raise
            return result

        return self.in_turn(message, once)

    def in_turn(self, what: str, work: Callable[[], T]) -> T:
        """Run ``work`` when it is this writer's turn, again when another was quicker; for work that commits by itself.

        Raises:
            LakeBusy: as ``transact``.
        """
        give_up_at = time.monotonic() + self.lock_wait_s
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._turn():
                    return work()
            except duckdb.Error as error:
                if not is_contention(error):
                    raise
                if attempt == ATTEMPTS_MAX or time.monotonic() >= give_up_at:
                    raise LakeBusy(self._busy_message(f"{what}: {attempt} tries met other writers")) from error
            self.wait(_back_off_s(attempt))

    def new_file(self, table: Table) -> str:
        """Return where to write a Parquet file for ``add_file``; one that is never added is an orphan, which maintenance deletes."""
        folder = f"{self.storage}/{table.schema}/{table.name}"
        if not self._is_on_s3:
            Path(folder).mkdir(parents=True, exist_ok=True)
        return f"{folder}/{uuid4()}.parquet"

    @property
    def metadata(self) -> str:
        """Where DuckLake shows its catalog's own tables to a connection."""
        return f"__ducklake_metadata_{CATALOG}" + (f".{METADATA_SCHEMA}" if self.catalog else "")

    def call(self, con: duckdb.DuckDBPyConnection, procedure: str, counted: str = "") -> int:
        """Run one of DuckLake's own procedures in turn; return the sum of a column of what it tells, or its rows.

        Raises:
            LakeBusy: as ``transact``.
        """
        what = f"coalesce(sum({counted}), 0)" if counted else "count(*)"
        ((number,),) = self.in_turn(procedure, lambda: con.execute(f"SELECT {what} FROM {procedure}").fetchall())
        return int(number)

    def identity(self, con: duckdb.DuckDBPyConnection) -> str:
        """Return what tells this lake from every other, one that was made anew in its place too."""
        ((found,),) = con.execute(
            f"SELECT table_uuid FROM ducklake_table_info('{CATALOG}') WHERE table_name = ?", [PAYLOADS.name]
        ).fetchall()
        return str(found)

    def _begin_use(self) -> duckdb.DuckDBPyConnection:
        """Connect for the first time: the catalog may have to be made, and two processes may do so at once."""

        def connect() -> duckdb.DuckDBPyConnection:
            con = self.connect()
            try:
                found = con.execute(f"SELECT option_name, value FROM {CATALOG}.options()").fetchall()
                for option, value in _OPTIONS.items():
                    if (option, str(value)) not in found:
                        con.execute(f"CALL {CATALOG}.set_option({literal(option)}, {value})")
            except BaseException:
                con.close()
                raise
            return con

        try:
            return self.in_turn("opening the lake", connect)
        except duckdb.Error as error:
            raise BadSettings(
                f"the lake cannot be opened (lake_catalog {_without_password(self.catalog) or 'SQLite'}, "
                f"files in {self.storage}): {_without_password(str(error))}"
            ) from error

    def _take_personal_out(self, con: duckdb.DuckDBPyConnection) -> None:
        """Keep the personal fields that an older lake has where they are kept now; it may be done again."""
        for (shop,) in con.execute(f"SELECT DISTINCT shop FROM {_FORMER_PERSONAL}").fetchall():
            found = con.execute(
                f"SELECT source, object_type, object_id, fields, fetched_at FROM {_FORMER_PERSONAL} WHERE shop = ?",
                [shop],
            )
            while rows := found.fetchmany(_MOVED_AT_ONCE):
                # Which order an object is of is in its payload, and told again when it comes again.
                self.personal.keep(
                    [PersonalRow(shop, source, kind, key, "", fields, at) for source, kind, key, fields, at in rows]
                )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for this writer's turn: the catalog finds two changes of one row, but not two inserts of one key."""
        if self.catalog:
            with self._turn_in_postgres():
                yield
            return
        try:
            with FileLock(self.folder / LOCK_FILE, timeout=self.lock_wait_s):
                yield
        except Timeout as error:
            raise LakeBusy(self._busy_message(f"no turn within {self.lock_wait_s:g} s")) from error

    @contextmanager
    def _turn_in_postgres(self) -> Iterator[None]:
        try:
            with psycopg.connect(self.catalog, autocommit=True) as queue:
                queue.execute("SELECT set_config('lock_timeout', %s, false)", [f"{self.lock_wait_s * 1000:.0f}ms"])
                queue.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [METADATA_SCHEMA])
                yield
        except psycopg.errors.LockNotAvailable as error:
            raise LakeBusy(self._busy_message(f"no turn within {self.lock_wait_s:g} s")) from error
        except psycopg.Error as error:  # as DuckDB says it when it cannot reach the catalog
            raise duckdb.IOException(f"catalog: {error}") from error

    def _busy_message(self, what: str) -> str:
        place = _without_password(self.catalog) or str(self.folder / CATALOG_FILE)
        return (
            f"the lake is busy ({what}); nothing was written. Catalog: {place}. "
            "Try again; if it stays, look for a writer that hangs, or move to a Postgres catalog (lake_catalog)"
        )

    def _extensions(self) -> tuple[str, ...]:
        """Return what DuckDB must have loaded to reach this lake."""
        catalog = "postgres_scanner" if self.catalog else "sqlite_scanner"
        return ("ducklake", catalog, "httpfs", "aws") if self._is_on_s3 else ("ducklake", catalog)

    @property
    def _is_on_s3(self) -> bool:
        return self.storage.startswith("s3://")

    def _attach(self, con: duckdb.DuckDBPyConnection, version: int | None) -> None:
        for name in self._extensions():
            _load(con, name)
            _verified.add(name)
        if self._is_on_s3:
            con.execute("CREATE SECRET (TYPE s3, PROVIDER credential_chain)")
        if self.catalog:
            address, place = f"ducklake:postgres:{self.catalog}", f", METADATA_SCHEMA '{METADATA_SCHEMA}'"
        else:
            # Without the write-ahead log a reader of one snapshot keeps every writer from committing.
            address, place = f"ducklake:sqlite:{self.folder / CATALOG_FILE}", ", META_JOURNAL_MODE 'WAL'"
        as_it_was = "" if version is None else f", READ_ONLY, SNAPSHOT_VERSION {version:d}"
        # The path is given at every attach, so that a data folder may be moved.
        con.execute(
            f"ATTACH {literal(address)} AS {CATALOG} "
            f"(DATA_PATH {literal(self.storage)}, OVERRIDE_DATA_PATH TRUE{place}{as_it_was})"
        )


@contextmanager
def all_threads(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let the questions of the block use the machine's cores: for work on many rows."""
    con.execute(f"SET threads = {min(THREADS_MAX, os.cpu_count() or 1)}")
    try:
        yield
    finally:
        con.execute("SET threads = 1")


def snapshot_of(con: duckdb.DuckDBPyConnection) -> int:
    """Return the number of the snapshot of the lake that a connection's transaction sees, or of the newest outside of one."""
    ((version,),) = con.execute(f"FROM {CATALOG}.current_snapshot()").fetchall()
    return int(version)


@contextmanager
def one_snapshot(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let every question of the block see one state of the lake, and read its catalog once (15 ms a question else)."""
    con.execute("BEGIN")
    try:
        yield
    except BaseException:
        _roll_back(con)
        raise
    con.execute("COMMIT")


def side_by_side(
    con: duckdb.DuckDBPyConnection, questions: Sequence[Callable[[duckdb.DuckDBPyConnection], T]]
) -> list[T]:
    """Ask independent questions of one state of the lake, two at a time; return the answers in the order of the questions.

    Each is given a connection that sees what ``con`` has committed in its memory, and none of its temporary tables. Most of a
    small question is planning it and reading the catalog, which one core does alone.

    Raises whatever a question raised; the others are asked first.
    """
    sides = [con.cursor() for _ in range(min(SIDES, len(questions)))]
    left = iter(enumerate(questions))
    answers: dict[int, T] = {}

    def ask(own: duckdb.DuckDBPyConnection) -> None:
        for place, question in left:
            answers[place] = question(own)

    try:
        _begin_alike(sides)
        with ThreadPoolExecutor(SIDES) as pool:
            for asked in [pool.submit(ask, own) for own in sides]:
                asked.result()
        for own in sides:
            own.execute("COMMIT")
    finally:
        for own in sides:
            own.close()
    return [answers[place] for place in range(len(questions))]


def _begin_alike(sides: Sequence[duckdb.DuckDBPyConnection]) -> None:
    """Begin a transaction in each, all on one state of the lake: again where a writer came between."""
    while True:
        seen = set()
        for own in sides:
            own.execute("BEGIN")
            seen.add(snapshot_of(own))
        if len(seen) <= 1:
            return
        for own in sides:
            own.execute("ROLLBACK")


def add_file(con: duckdb.DuckDBPyConnection, table: Table, file: str) -> None:
    """Make a file of ``Lake.new_file`` part of a table without partitions, inside a transaction; columns go by name.

    The lake does not look into the rows: NOT NULL is the writer's to hold. The file is the lake's from then on.
    """
    con.execute(
        f"CALL ducklake_add_data_files('{CATALOG}', $table, $file, schema => $schema)",
        {"table": table.name, "file": file, "schema": table.schema},
    )


def _create_missing(con: duckdb.DuckDBPyConnection) -> None:
    """Bring the lake up to the declarations; what is kept of other tables is made whole with its table, or neither is there."""
    from marketplace_returns.lake import bookings, references  # noqa: PLC0415 - they read and write the lake as this module reaches it

    missing = _missing_ddl(con)
    for ddl in missing:
        con.execute(ddl)
    if any(BOOKINGS.path in ddl for ddl in missing):
        bookings.remake(con)
    if any(ORDER_REFERENCES.path in ddl for ddl in missing):
        references.remake(con)


def _missing_ddl(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the statements that bring the lake up to the declarations; empty when it is there."""
    rows = con.execute(
        "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE database_name = ?", [CATALOG]
    ).fetchall()
    there: dict[tuple[str, str], set[str]] = {}
    for schema, table_name, column in rows:
        there.setdefault((schema, table_name), set()).add(column)
    ddl = [f"CREATE SCHEMA IF NOT EXISTS {CATALOG}.{schema}" for schema in dict.fromkeys(t.schema for t in LAKE_TABLES)]
    size_without_tables = len(ddl)
    for table in LAKE_TABLES:
        columns = there.get((table.schema, table.name))
        ddl += table_ddl(table, columns)
        if columns is None:
            ddl.append(f"ALTER TABLE {table.path} SET PARTITIONED BY (shop)")
            if table.sorted_by:
                ddl.append(f"ALTER TABLE {table.path} SET SORTED BY ({table.sorted_by} ASC)")
    if ("landing", "personal") in there:
        ddl.append(_DROP_FORMER_PERSONAL)
    return ddl if len(ddl) > size_without_tables else []


def table_ddl(table: Table, there: Collection[str] | None) -> list[str]:
    """Return the statements that make a table, or that add the columns it does not have ``there``; None where it is not."""
    if there is not None:
        # Without NOT NULL: older rows cannot have it; the checks before every write do.
        return [
            f"ALTER TABLE {table.path} ADD COLUMN {column.name} {column.kind.lake_type}"
            for column in table.columns
            if column.name not in there
        ]
    columns = ", ".join(
        f"{column.name} {column.kind.lake_type}{' NOT NULL' if column.required else ''}" for column in table.columns
    )
    return [f"CREATE TABLE IF NOT EXISTS {table.path} ({columns})"]


def _load(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension: from where DuckDB keeps them, else from its wheel, else by DuckDB's own INSTALL."""
    try:
        con.execute(f"LOAD {name}")
    except duckdb.Error:
        try:
            import_extension(name, con=con)
        except (ImportError, duckdb.Error):
            con.execute(f"INSTALL {name}")
        con.execute(f"LOAD {name}")


def _roll_back(con: duckdb.DuckDBPyConnection) -> None:
    """Leave the transaction; a failed COMMIT has left it already."""
    try:
        con.execute("ROLLBACK")
    except duckdb.TransactionException:
        return


def is_short_of_memory(error: duckdb.Error) -> bool:
    """Tell whether an error says that a connection had no memory left; the lake's extension words it as an error of its own."""
    return isinstance(error, duckdb.OutOfMemoryException) or "Increasing the memory limit" in str(error)


def is_contention(error: duckdb.Error) -> bool:
    """Tell whether an error of the lake means that somebody else was quicker or holds the catalog."""
    text = str(error).lower()
    return any(sign in text for sign in CONTENTION)


def _back_off_s(attempt: int) -> float:
    """Doubling, bounded, and spread by process so that two losers do not meet again."""
    spread = 1 + (os.getpid() % 11) / 11
    return min(BACK_OFF_MAX_S, BACK_OFF_FIRST_S * (1 << (attempt - 1)) * spread)


def literal(value: str | int | datetime) -> str:
    """Return a value as a SQL literal.

    For the few places where the planner must see the value to leave files unread, and where ATTACH takes no parameter;
    everywhere else values are bound.
    """
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat()}'"
    return "'" + value.replace("'", "''") + "'"


def _without_password(address: str) -> str:
    """Blank out the password of every ``scheme://user:password@`` in a text."""
    parts = address.split("://")
    for index in range(1, len(parts)):
        credentials, sign, rest = parts[index].partition("@")
        user, colon, _ = credentials.partition(":")
        if sign and colon and " " not in credentials:
            parts[index] = f"{user}:***@{rest}"
    return "://".join(parts)
