"""One installation on one sandbox, in which each type of exception has its cause and then its cure.

Here: the installation, the ways to look (a pass's lanes, the monitoring tables, a poll, the sending of what is due), and how
a case is played. Not here: any case. A case is a generator: it causes its exception, yields, and then cures it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from marketplace_returns.lake.connection import one_snapshot
from marketplace_returns.lanes import LANES
from marketplace_returns.ledger.exceptions import CLEARED, OpenException
from marketplace_returns.ledger.executors import Clients
from marketplace_returns.mappings import load_mappings
from marketplace_returns.orchestration import sync, watching
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import running_sandbox
from marketplace_returns.sources import reveni
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP, CoreRows, empty_lake
from marketplace_returns_tests.ledger.sandboxed import Place, SandboxClock
from marketplace_returns_tests.orchestration.conftest import MAPPINGS, settings_for

PERSON = "Ana"
BEFORE_NOW = timedelta(hours=96)
"""How long before the instant of the core rows the sandbox begins: what is sent there needs time."""
Play = Iterator[dict[str, str]]
"""A case as it is played: between its cause and its cure it yields what its exception is about."""
WATCHED = ("sku_audit", "new_values")
"""The monitoring tables that raise a type which nothing else does."""


@dataclass(frozen=True)
class Case:
    """One type: how it is caused and cured, whether its clock is a deadline of its own, and who ends it."""

    type: str
    play: Callable[[Scene], Play]
    has_own_clock: bool = False
    by_person: bool = False


@dataclass
class Told:
    """What became of a case's exception: as it was open, and as it is after the cure."""

    opened: list[OpenException]
    ended: list[OpenException]


@dataclass
class Scene(Place):
    """The installation, with its core rows."""

    app: App
    core: CoreRows
    told: dict[str, Told] = field(default_factory=dict)
    looks: int = 0

    def mapping(self, table: str, row: str) -> None:
        """Add a row to a mapping table, as a person does."""
        add_mapping(self.app, table, row)

    def decide(self) -> None:
        """Look as a pass does: extend the model, let every lane decide, and look at the monitoring tables."""
        self.core.write()
        self.looks += 1
        run_id = f"look-{self.looks}"
        con = sync.decided_on(self.app, SHOP, run_id=run_id)
        with one_snapshot(con):
            for lane in LANES:
                sync.decide(self.app, con, SHOP, lane)
        watching.watch(self.app, SHOP, watching.watched(self.app, self.shop, self.app.modelled()), WATCHED)

    def poll(self, name: str) -> None:
        """Poll a stream; a failure is told by its exception."""
        stream = next(each for each in streams_of(self.shop) if each.name == name)
        with suppress(sync.SourceError):
            sync.poll_or_tell(self.app, SHOP, stream, run_id="poll")

    def later(self, *waits_s: float) -> None:
        """Let time pass, looking at what is unclear and sending what is due after each wait."""
        for wait_s in waits_s:
            self.clock.wait(wait_s)
            self.look()
            self.send()

    def configure(self, **values: Any) -> None:
        """Change the sandbox's own settings, as its operator would."""

        def change() -> None:
            self.sandbox.world.config = replace(self.sandbox.world.config, **values)

        self.sandbox.do(change)

    def open_about(self, exception_type: str, entity: dict[str, str]) -> list[OpenException]:
        """Return the open exceptions of a type that are about something."""
        return [
            each for each in self.ledger.exceptions(types=[exception_type]) if entity.items() <= each.entity.items()
        ]

    def resolve(self, exception_type: str, entity: dict[str, str], note: str) -> None:
        """Resolve an exception, as a person does who has done what cannot be seen."""
        (found,) = self.open_about(exception_type, entity)
        self.ledger.resolve(found.exception_id, by=PERSON, note=note)

    def retry(self, exception_type: str, entity: dict[str, str], note: str) -> None:
        """Have a write gone on with, as a person does who has mended what stopped it."""
        (found,) = self.open_about(exception_type, entity)
        self.ledger.retry(found.exception_id, by=PERSON, note=note)

    def play(self, cases: list[Case], *, together: bool) -> None:
        """Cause and cure cases: together with one look at all of them, or one after the other where each looks by itself."""
        for group in [cases] if together else [[case] for case in cases]:
            played = [(case, case.play(self)) for case in group]
            about = {case.type: next(steps) for case, steps in played}
            if together:
                self.decide()
            opened = {name: self.open_about(name, entity) for name, entity in about.items()}
            for _, steps in played:
                next(steps, None)
            if together:
                self.decide()
            ended = {each.exception_id: each for each in self.ledger.exceptions(is_open=None)}
            for name, found in opened.items():
                self.told[name] = Told(found, [ended[each.exception_id] for each in found])


def add_mapping(app: App, table: str, row: str) -> None:
    """Add a row to a mapping table, as a person does, and let the installation read it."""
    path = app.settings.mappings_dir / f"{table}.csv"
    path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n{row}\n", encoding="utf-8")
    app.mappings = load_mappings(app.settings.mappings_dir)


def open_about(app: App, exception_type: str, entity: dict[str, str]) -> list[OpenException]:
    """Return the open exceptions of a type that are about something."""
    found = app.ledger.exceptions(types=[exception_type])
    return [each for each in found if entity.items() <= each.entity.items()]


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Open an installation on a small sandbox; its clock is the sandbox's."""
    config = WorldConfig(
        orders=80, days=1, skus=20, seed=5, start=NOW - BEFORE_NOW, site="MAIN", return_rate=0.0, split_parcel_rate=0.0
    )
    with running_sandbox(config) as sandbox:
        clock = SandboxClock(sandbox)
        sandbox.advance(timedelta(hours=12))
        data = folder / "data"
        shutil.copytree(empty_lake(), data / "lake")
        mappings = shutil.copytree(MAPPINGS, folder / "mappings")
        settings = settings_for(sandbox, data).model_copy(update={"mappings_dir": mappings})
        app = App.open(settings, clock)
        try:
            shop = app.shop(SHOP)
            platform = app.client(shop, "reveni")
            clients = Clients(
                mirakl=app.client(shop, "mirakl"),
                platform=reveni.ReveniWrites(platform),
                peoplevox=app.client(shop, "peoplevox"),
            )
            core = CoreRows(app.lake, settings, app.mappings, app.con)
            yield Scene(shop, app.ledger, clients, platform, sandbox, clock, app, core)
        finally:
            app.close()


def is_cleared(each: OpenException) -> bool:
    """Tell whether an exception was closed by facts."""
    return each.resolution == CLEARED


def moment(hours: float) -> datetime:
    """Return an instant so many hours before the core rows' now."""
    return NOW - timedelta(hours=hours)
