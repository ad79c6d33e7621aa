"""Our own side in one process for many seeds: the installation as a worker's process opens it, and what a death leaves.

Here live the lake and the ledger of a seed and how they are opened, buried and compared. Not here: what a worker does.
Invariant: a worker that is opened after a death finds what was committed, and nothing else.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast
from uuid import UUID

import duckdb

from marketplace_returns import model
from marketplace_returns.lake import connection
from marketplace_returns.lake.connection import Lake, table_ddl
from marketplace_returns.lake.tables import LAKE_TABLES
from marketplace_returns.ledger import tables
from marketplace_returns.ledger.connection import LEDGER_FILE, transaction
from marketplace_returns.mappings import Mappings, load_mappings
from marketplace_returns.orchestration.app import App
from marketplace_returns.sandbox.control import settings_for
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import Settings
from marketplace_returns.sources import http
from marketplace_returns.webhooks.inbox import FILE_NAME as INBOX_FILE
from marketplace_returns_tests.reliability.simulation.outside import BASE_URL, VirtualClock
from marketplace_returns_tests.reliability.simulation.plans import KeptPlans
from marketplace_returns_tests.reliability.simulation.trouble import Outside

T = TypeVar("T")

SHOP = "asos_uk"
MAPPINGS_DIR = Path(__file__).parents[3] / "mappings"
MEMORY = Path("/dev/shm")

_LEFT_OUT = {"request_id", "excerpt", "duration_ms", "exception_id"}
"""Columns of the ledger that name calls or count rows; what they say is in other columns too."""


class PlainLake(Lake):
    """A lake whose tables are DuckDB's own, in memory: the same declarations and transactions, a fraction of the catalog's cost."""

    def transact(
        self, con: duckdb.DuckDBPyConnection, run_id: str, message: str, work: Any, *, ready: Any = None
    ) -> Any:
        if ready is not None:
            ready()
        con.execute("BEGIN")
        try:
            result = work(con)
            con.execute("COMMIT")
        except BaseException:
            con.execute("ROLLBACK")
            raise
        return result

    def connect(self, *, version: int | None = None) -> duckdb.DuckDBPyConnection:
        """Return a connection to an empty lake; there is one of them, for it is in memory."""
        assert version is None
        con = duckdb.connect(
            config={"threads": "1", "preserve_insertion_order": "false", "autoload_known_extensions": "false"}
        )
        con.execute("SET GLOBAL TimeZone = 'UTC'")
        # A kept plan must not know what its tables held when it was made.
        con.execute("SET disabled_optimizers = 'statistics_propagation'")
        con.execute("ATTACH ':memory:' AS lake")
        con.execute("CREATE MACRO lake.main.current_snapshot() AS TABLE SELECT 1 AS id")
        for schema in dict.fromkeys(table.schema for table in LAKE_TABLES):
            con.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{schema}")
        for table in LAKE_TABLES:
            for ddl in table_ddl(table, None):
                con.execute(ddl)
        return cast("duckdb.DuckDBPyConnection", KeptPlans(con))


class Workshop:
    """What one process makes once and uses for all its seeds: mappings and an empty ledger; and the lake of the seed it plays."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None))
        self.mappings = load_mappings(MAPPINGS_DIR)
        self._plain: duckdb.DuckDBPyConnection | None = None
        self._empty: dict[str, bytes] = {}

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def place(self, name: str) -> Path:
        """Return a new folder for a seed."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def plain_lake(self) -> tuple[PlainLake, duckdb.DuckDBPyConnection]:
        """Return a lake in memory for a seed, which ends the one before: kept plans and emptied tables would remember it."""
        if self._plain is not None:
            self._plain.close()
        lake = PlainLake(self.folder)
        self._plain = lake.connect()
        return lake, self._plain

    def empty_ledger(self, settings: Settings, clock: VirtualClock) -> None:
        """Put an empty ledger and an empty inbox into a seed's folder: it takes longer to make them than to copy them."""
        if not self._empty:
            app = App.open(settings, clock)
            app.inbox(is_made=True)
            app.close()
            self._empty = {name: (settings.data_dir / name).read_bytes() for name in (LEDGER_FILE, INBOX_FILE)}
        for name, content in self._empty.items():
            (settings.data_dir / name).write_bytes(content)


@dataclass
class Installation:
    """The installation of one seed. ``mappings`` may change while it runs, as when a person edits the tables."""

    workshop: Workshop
    settings: Settings
    clock: VirtualClock
    outside: Outside
    mappings: Mappings
    is_on_ducklake: bool = False
    _plain: tuple[PlainLake, duckdb.DuckDBPyConnection] | None = field(default=None, repr=False)

    def open(self, beside: App | None = None) -> App:
        """Open the installation as a new process does; ``beside`` another one it shares the lake's connection with it."""
        app = App.open(self.settings, self.clock, transport=self.outside)
        app.mappings = self.mappings
        if beside is not None:
            app._lake, app._con = beside.lake, beside.con
        elif not self.is_on_ducklake:
            if self._plain is None:
                self._plain = self.workshop.plain_lake()
            app._lake, app._con = self._plain
            model.attach_reports(app.con, self.settings, self.mappings)
        return app

    def bury(self, app: App) -> None:
        """Leave an installation as its process's death does: nothing more is written."""
        app.ledger._engine.dispose()
        if app._inbox is not None:
            app._inbox.close()
        if app._con is None:
            return
        if self.is_on_ducklake:
            app._con.close()
            return
        try:
            app._con.execute("ROLLBACK")
        except duckdb.Error:
            return  # no transaction was on its way


def settings_of(world: World, folder: Path, policy: dict[str, str]) -> Settings:
    """Return the settings of an installation whose one shop lives in this world."""
    told = settings_for(world, BASE_URL)
    shop = {name: dict(section) if isinstance(section, dict) else section for name, section in told["shop"].items()}
    for place, secret in told["secrets"].items():
        section, key = place.split(".")
        shop[section][key] = secret
    shop["policy"] = {**shop.get("policy", {}), **policy}
    return Settings(data_dir=folder, mappings_dir=MAPPINGS_DIR, shops={SHOP: shop})


def ledger_hash(app: App) -> str:
    """Return the hash of what the ledger says of its writes, their tries and its exceptions, but for the names of calls."""
    digest = hashlib.sha256()
    for table in (tables.intents, tables.exceptions):
        columns = [column for column in table.columns if column.name not in _LEFT_OUT]
        with transaction(app.ledger._engine, is_reading=True) as reading:
            _add(digest, (tuple(row) for row in reading.execute(table.select().with_only_columns(*columns))))
    tries = app.ledger.attempts([each.intent_id for each in app.ledger.intents()])
    _add(digest, (tuple(value for name, value in each.items() if name not in _LEFT_OUT) for each in tries))
    return digest.hexdigest()[:16]


def _add(digest: Any, rows: Iterable[tuple[Any, ...]]) -> None:
    digest.update("\n".join(sorted(map(str, rows))).encode())


@contextmanager
def seeded(chance: Random) -> Iterator[None]:
    """Draw from the seed what our clients draw by themselves: the jitter of their waits and the names of their calls.

    One question is asked after the other meanwhile: a lake in memory is one connection.
    """
    jitter, name, sides = http.Random, http.uuid.uuid4, connection.SIDES
    http.Random = lambda: chance  # type: ignore[assignment,misc]
    http.uuid.uuid4 = lambda: UUID(int=chance.getrandbits(128))  # type: ignore[attr-defined]
    connection.SIDES = 1  # type: ignore[misc]
    try:
        yield
    finally:
        http.Random, http.uuid.uuid4, connection.SIDES = jitter, name, sides  # type: ignore[misc,attr-defined]
