"""The installation, opened: settings, mappings, lake, ledger, clock, and a client per system and shop.

Here: what every pass needs, made once and closed once. Not here: what a pass does. The invariants: a secret is read only
when its system is first called; a client that can reach more than this machine has a call budget all processes share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy.exc import DatabaseError

from marketplace_returns import model
from marketplace_returns.clock import Clock, SystemClock
from marketplace_returns.errors import BadSettings
from marketplace_returns.lake.connection import Lake, snapshot_of
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.executors import Clients, build
from marketplace_returns.ledger.records import LakeMark, ahead_of
from marketplace_returns.mappings import Mappings, load_mappings
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.settings import Settings, Shop, Switches, WriteKind
from marketplace_returns.sources.budget import Budget, NoBudget, SharedBudget
from marketplace_returns.sources.mirakl import connect as mirakl
from marketplace_returns.sources.peoplevox import client as peoplevox
from marketplace_returns.sources.peoplevox import throttle
from marketplace_returns.sources.platforms import PLATFORMS
from marketplace_returns.webhooks.inbox import Inbox

if TYPE_CHECKING:
    import httpx
    from duckdb import DuckDBPyConnection

    from marketplace_returns.desk.lookup import Desk
    from marketplace_returns.desk.order_slice import OrderMemory
    from marketplace_returns.ledger.outcomes import Executor
    from marketplace_returns.sources.budget import Rate
    from marketplace_returns.sources.platform import PlatformWrites


@dataclass
class App:
    """An opened installation; close it when done. It belongs to one thread."""

    settings: Settings
    mappings: Mappings
    ledger: Ledger
    clock: Clock
    switches: Switches
    """Which kinds of write are live now; the shops' own ``writes`` are as they were when this was opened, what was held back included."""
    transport: httpx.BaseTransport | None = field(default=None, repr=False)
    _lake: Lake | None = field(default=None, repr=False)
    _inbox: Inbox | None = field(default=None, repr=False)
    _con: DuckDBPyConnection | None = field(default=None, repr=False)
    _lake_id: str = ""
    _order_memory: OrderMemory | None = field(default=None, repr=False)
    is_rebuilding: bool = False
    """Whether this is opened to give a ledger its lake back, so a lake that lacks what was read is let in."""
    computed_for: tuple[str, str] | None = None
    """The shop and run whose model the connection holds computed, so that one run's steps decide on one state."""
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)
    _closing: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def open(
        cls, settings: Settings, clock: Clock | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> App:
        """Open the ledger, creating it where it is not there yet; no outside system is called and no secret read.

        ``transport`` carries every call to the outside where it is given, instead of a connection pool for each system.

        Raises:
            BadSettings, BadMapping: a person mends them; the message says what.
            LedgerBusy: another process holds it.
        """
        for shop in settings.shops.values():
            streams_of(shop)  # refuses a cadence that is over the call budget
        _refuse_what_is_not_there(settings)
        clock = clock or SystemClock()
        mappings = load_mappings(settings.mappings_dir)
        _make_data_folder(settings.data_dir)
        try:
            ledger = Ledger.open(settings, clock)
        except DatabaseError as refused:
            kept = "ledger_url" if settings.ledger_url else f"data_dir {settings.data_dir}"
            raise BadSettings(
                f"{kept}: the ledger cannot be opened ({refused.orig}): mend the setting, or see that the database answers"
            ) from refused
        switches = Switches(settings, ledger.held_modes)
        app = cls(settings.held_back(ledger.held_modes()), mappings, ledger, clock, switches, transport)
        app._closing.callback(ledger.close)
        return app

    def close(self) -> None:
        """Close every connection."""
        self._closing.close()

    def shop(self, name: str) -> Shop:
        """Return the shop of that name; BadArgument listing the names there are."""
        return self.settings.shop(name)

    @property
    def lake(self) -> Lake:
        """The lake, opened (and created where it is not there yet) at its first use: a sensor's tick needs none."""
        if self._lake is None:
            self._lake = Lake.open(self.settings)
        return self._lake

    @property
    def con(self) -> DuckDBPyConnection:
        """The connection to the lake, opened at its first use and kept: opening one costs more than most passes.

        Raises:
            BadSettings: the lake is not the one, or older than the one, that the ledger's cursors stand on.
        """
        if self._con is None:
            self._con = self.lake.connect()
            self._closing.callback(self._con.close)
            self._lake_id = self.lake.identity(self._con)
            if not self.is_rebuilding:
                # The cursors first: what others read between the two questions is then in the lake, and not missing.
                standing = self.ledger.standing()
                _refuse_lake_of_old(self.settings, ahead_of(self.lake_mark(), standing))
            model.attach_reports(self._con, self.settings, self.mappings)
        return self._con

    def lake_mark(self) -> LakeMark:
        """Return which lake this is and how new, for a cursor to stand on."""
        return LakeMark(self._lake_id, snapshot_of(self.con))

    def inbox(self, *, is_made: bool = False) -> Inbox | None:
        """Return the webhook inbox; None where no webhook was ever received here, unless ``is_made`` asks to make it."""
        if self._inbox is None and (is_made or Inbox.is_there(self.settings)):
            self._inbox = Inbox.open(self.settings)
            self._closing.callback(self._inbox.close)
        return self._inbox

    def ready(self) -> DuckDBPyConnection:
        """Return the connection with all that a shop's model is computed from, as the ledger knows the links now."""
        model.attach_facts(self.con, self.settings, self.mappings, self._ledger_facts())
        self.computed_for = None
        return self.con

    def modelled(self) -> DuckDBPyConnection:
        """Return the connection with the model's views and the mappings in it, as the ledger knows the links now."""
        self.attach_model(self.con)
        self.computed_for = None
        return self.con

    def attach_model(self, con: DuckDBPyConnection) -> None:
        """Put the model's views and the mappings into a connection to the lake, as the ledger knows the links now."""
        model.attach(con, self.settings, self.mappings, self._ledger_facts())

    def desk(self) -> Desk:
        """Return the desk of this installation, with the mapping tables as their files are now."""
        from marketplace_returns.desk.lookup import Desk  # noqa: PLC0415 - a sensor's tick looks nothing up
        from marketplace_returns.desk.order_slice import OrderMemory  # noqa: PLC0415 - as above

        if self._order_memory is None:
            self._order_memory = OrderMemory()
            self._closing.callback(self._order_memory.close)
        mappings = load_mappings(self.settings.mappings_dir)
        return Desk(self.con, self.ledger, self.settings, mappings, self.lake, self._ledger_facts, self._order_memory)

    def report_anew(self) -> None:
        """Let the platforms' reports be read as the lake holds them now, where a computed model kept them as they were."""
        model.attach_reported(self.con, model.platforms_of(self.settings))
        self.computed_for = None

    def client(self, shop: Shop, system: str) -> Any:
        """Return the client of a shop's system, made at its first use; BadSettings where its secret is missing."""
        key = (shop.name, system)
        if key not in self._clients:
            client = self._connect(shop, system)
            self._clients[key] = client
            self._closing.callback(client.close)
        return self._clients[key]

    def executors(self, shop: Shop) -> Mapping[WriteKind, Executor]:
        """Return what sends each kind of write of a shop; an order's address is read when it is sent."""

        def personal_fields_of(order_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
            return self.lake.personal.fields(shop.name, "mirakl", "order", order_ids)

        return build(shop, self._clients_of(shop), ledger=self.ledger, personal_fields=personal_fields_of)

    def _clients_of(self, shop: Shop) -> Clients:
        """Return the clients that write; a platform read from files and given no key is not written to."""
        platform = shop.returns
        can_write_platform = platform.read == "api" or platform.api_key is not None
        warehouse = shop.warehouse
        can_write_warehouse = warehouse is not None and (warehouse.read == "api" or warehouse.password is not None)
        return Clients(
            mirakl=self.client(shop, "mirakl"),
            platform=self._platform_writes(shop) if can_write_platform else None,
            peoplevox=self.client(shop, "peoplevox") if can_write_warehouse else None,
        )

    def _platform_writes(self, shop: Shop) -> PlatformWrites:
        return PLATFORMS[shop.returns.platform].writes(self.client(shop, shop.returns.platform))

    def _connect(self, shop: Shop, system: str) -> Any:
        common: dict[str, Any] = {"clock": self.clock, "log": self.ledger, "transport": self.transport}
        if system == "mirakl":
            return mirakl.connect(self.settings, shop, **common)
        shared = {"timing": self.settings.timing, **common}
        if shop.warehouse is not None and system == shop.warehouse.system:
            # all shops of a warehouse's tenant share its budget
            budget = self._budget(shop, system, shop.warehouse.client_id, throttle.ceilings(shop.warehouse))
            return peoplevox.connect(shop, budget=budget, **shared)
        platform = PLATFORMS[system]
        ceilings = platform.ceilings(shop) if platform.ceilings else {}
        return platform.connect(shop, budget=self._budget(shop, system, shop.name, ceilings), **shared)

    def _budget(self, shop: Shop, system: str, name: str, ceilings: Mapping[str, tuple[Rate, ...]]) -> Budget:
        """Return the budget that all processes share under that name; the sandbox and a system without limits have none."""
        if shop.is_sandbox or not ceilings:
            return NoBudget()
        database: Path | str = self.settings.ledger_url or self.settings.data_dir / mirakl.BUDGET_FILE
        budget = SharedBudget(database, system, name, ceilings, self.clock)
        self._closing.callback(budget.close)
        return budget

    def _ledger_facts(self) -> model.LedgerFacts:
        """Return which platform returns our confirmed writes made, and up to when each stream was read."""
        links = self.ledger.platform_links(self.settings.shops)
        reads = [
            {"shop": shop, "stream": stream, "read_at": read_at}
            for shop in self.settings.shops
            for stream, (read_at, _) in self.ledger.cursors(shop).items()
        ]
        return model.LedgerFacts(
            pa.Table.from_pylist(links, schema=model.PLATFORM_LINKS), pa.Table.from_pylist(reads, schema=model.READS)
        )


def _refuse_what_is_not_there(settings: Settings) -> None:
    """Raise BadSettings where a policy is asked for that no lane obeys yet."""
    for shop in settings.shops.values():
        if shop.returns.platform not in PLATFORMS:
            raise BadSettings(
                f"shops.{shop.name}.returns.platform = {shop.returns.platform!r} is not available in this version: "
                f"use one of {', '.join(PLATFORMS)}"
            )


def _refuse_lake_of_old(settings: Settings, ahead: Mapping[str, datetime]) -> None:
    """Raise BadSettings where cursors of a shop stand on what this lake has not: pages would be missing without a word."""
    missing = [
        f"{shop} (read up to {ahead[shop]:%Y-%m-%d %H:%M} UTC)" for shop in sorted(ahead) if shop in settings.shops
    ]
    if missing:
        place = "lake_catalog" if settings.lake_catalog else f"data_dir {settings.data_dir}"
        raise BadSettings(
            f"{place}: this lake has not what the ledger has read of {', '.join(missing)}: it was lost, or an older one was put "
            "in its place. Mend the setting, or `marketplace-returns restore` a backup, or read it all again by "
            "`marketplace-returns lake rebuild --from sources`"
        )


def _make_data_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise BadSettings(
            f"data_dir {folder}: no folder can be made there ({refused.strerror}): name another, or mend its permissions"
        ) from None
