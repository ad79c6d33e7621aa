"""Where the ledger is kept, and how a transaction on it begins and ends.

Here live the engine, the pragmas, the migrations and the one ``transaction``. What must not live here: any table's
meaning. The invariant: what a transaction committed survives the loss of power, and a writer holds the ledger from its
first read on, so that what it read still holds when it writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import OperationalError

from marketplace_returns.errors import BadSettings, LedgerBusy

BUSY_S: Final = 30
"""How long a transaction waits for its turn before it gives up with LedgerBusy."""

_MIGRATION_LOCK: Final = 7_204_417_001  # any number: the same in every process, so that one migrates at a time
LEDGER_FILE: Final = "ledger.db"


@dataclass(frozen=True, slots=True)
class Migrations:
    """One set of tables: where its migrations lie, the newest of them, and the table that says how far a database is."""

    folder: Path
    newest: str
    version_table: str


_Key = TypeVar("_Key", int, str)
KEYS_PER_QUERY: Final = 500
"""Keys that one question names."""
LEDGER_MIGRATIONS: Final = Migrations(Path(__file__).parent / "migrations", "0007", "alembic_version")


def open_engine(
    data_dir: Path, ledger_url: str, *, file_name: str = LEDGER_FILE, migrations: Migrations = LEDGER_MIGRATIONS
) -> Engine:
    """Open the ledger's database, migrated to the newest form: SQLite in ``data_dir``, or Postgres where a URL is given.

    ``file_name`` and ``migrations`` name another set of tables: a SQLite file of its own, or beside the ledger's in Postgres.

    Raises:
        LedgerBusy: another process kept migrating beyond the bound.
        BadSettings: a newer version of the program made its tables.
    """
    if ledger_url:
        engine = create_engine(_with_driver(ledger_url), pool_pre_ping=True, pool_size=5, max_overflow=5)
        event.listen(engine, "connect", _set_up_postgres)
        if not _is_newest(engine, migrations):
            _migrate(engine, migrations)
        return engine
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / file_name
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_S, "check_same_thread": False})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    if path.exists() and _is_newest(engine, migrations):
        return engine
    try:
        with FileLock(f"{path}.lock", timeout=BUSY_S):
            _migrate(engine, migrations)
    except Timeout:
        raise LedgerBusy(f"{path} is being opened by another process for more than {BUSY_S} s; try again.") from None
    return engine


@contextlib.contextmanager
def transaction(engine: Engine, *, is_reading: bool = False) -> Iterator[Connection]:
    """Give a connection inside one transaction, committed at the end or rolled back on an error.

    A writing transaction on SQLite takes the write lock at once (BEGIN IMMEDIATE). Raises LedgerBusy after ``BUSY_S``.
    """
    try:
        with engine.connect() as plain:
            connection = plain.execution_options(ledger_is_reading=True) if is_reading else plain
            with connection.begin():
                yield connection
    except OperationalError as failure:
        if "locked" in str(failure.orig) or "lock timeout" in str(failure.orig):
            raise LedgerBusy(
                f"The ledger stayed locked for {BUSY_S} s and nothing was written; see what else is running, then try again."
            ) from failure
        raise


def empty_log(engine: Engine) -> bool:
    """Take into the file what SQLite's log holds, and cut the log off; False where somebody reads from it just now."""
    if engine.dialect.name != "sqlite":
        return True
    with contextlib.closing(engine.raw_connection()) as connection:
        ((is_busy, _, _),) = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return not is_busy


def chunks(keys: Sequence[_Key], size: int = KEYS_PER_QUERY) -> Iterator[Sequence[_Key]]:
    """Cut keys into as many as one question may name."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def lock_shop(connection: Connection, shop: str, what: str) -> None:
    """Let one transaction at a time do something for a shop, until it ends; SQLite's write lock does that already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"{what}/{shop}"})


def _is_newest(engine: Engine, migrations: Migrations) -> bool:
    """Whether the tables are in the newest form already: a look without a lock, for every process that starts."""
    with transaction(engine, is_reading=True) as connection:
        if not inspect(connection).has_table(migrations.version_table):
            return False
        found = connection.execute(text(f"SELECT version_num FROM {migrations.version_table}")).scalars()
        return list(found) == [migrations.newest]


def _migrate(engine: Engine, migrations: Migrations) -> None:
    import alembic.command  # noqa: PLC0415 - a second that only a database in an older form costs
    import alembic.config  # noqa: PLC0415
    import alembic.util  # noqa: PLC0415

    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrations.folder).replace("%", "%%"))
    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        try:
            alembic.command.upgrade(config, "head")
        except alembic.util.CommandError as unknown:
            raise BadSettings(
                f"the database's form ({migrations.version_table}) is not one this version knows ({unknown}): a newer version made it. "
                "Run that one, or `marketplace-returns restore` the backup of before the upgrade"
            ) from unknown


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in {"postgres", "postgresql"} else url


def _set_up_postgres(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.execute(f"SET lock_timeout = '{BUSY_S}s'")
    dbapi_connection.execute("SET TIME ZONE 'UTC'")
    dbapi_connection.commit()


def _set_up_sqlite(dbapi_connection: Any, _record: object) -> None:
    # We begin transactions ourselves: the driver's own BEGIN comes too late and is deferred.
    dbapi_connection.isolation_level = None
    # What is erased is overwritten, and leaves the log with its next checkpoint.
    for pragma in (
        "journal_mode = WAL",
        "secure_delete = ON",
        "synchronous = FULL",
        f"busy_timeout = {BUSY_S * 1000}",
        "foreign_keys = ON",
    ):
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get("ledger_is_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
