"""Where abused answers arrive: a shop in the middle of its month, with writes of every kind due, put back for each batch.

Here live the world, the installation and putting both back. Not here: mutants. Invariant: every batch begins in the same
world and with the same lake and ledger, byte for byte.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from marketplace_returns.clock import FixedClock
from marketplace_returns.lanes import LANES
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox
from marketplace_returns.sandbox.truth import examine
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import Settings
from marketplace_returns_tests.orchestration.conftest import SHOP, settings_for
from marketplace_returns_tests.reliability.abuse.tape import Tape, between
from marketplace_returns_tests.reliability.stage import Door

SEED = 11
CONCLUDES = ("closing", "refunds", "expected_receipts", "stock")
NEVER = timedelta(days=4000)
"""A grace so long that nothing is missing yet: what is then wrong was done wrong."""


class StandingClock(FixedClock):
    """A clock that a wait does not move: a batch happens at one instant."""

    def wait(self, seconds: float) -> None:
        """Let no time pass."""


@dataclass(frozen=True)
class Setting:
    """One world: its returns platform, its size, and how it is played before the abuse begins."""

    name: str
    config: dict[str, Any]
    passes: tuple[int, ...] = (3, 5, 5, 5, 5, 4)
    """Days between the passes that come before."""

    held: int = 2
    """The last of them in which what concludes a return is not decided yet, so that much of it is due."""

    hours_unseen: int = 20
    """How long the world lives on then without us."""


def world_of(platform: str, orders: int = 80, **more: Any) -> dict[str, Any]:
    """Return what makes a world of a platform."""
    return {
        "seed": SEED,
        "orders": orders,
        "days": 28,
        "skus": 30,
        "acceptance_hours": 200,
        "return_rate": 0.7,
        "multi_unit_rate": 0.3,
        "never_posted_rate": 0.0,
        "export_delay_s": 0.0,
        "import_delay_s": 0.0,
        "platform": platform,
        **more,
    }


@dataclass
class Scene:
    """A sandbox and an installation that are put back to where the abuse begins; a context manager."""

    setting: Setting
    as_they_are: dict[str, tuple[list[Any], list[Any]]] = field(default_factory=dict)
    """By reading: what it gives without abuse, and the requests it makes."""
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="abuse-")))

    def __enter__(self) -> Self:
        self.door = Door()
        world = World(WorldConfig(**self.setting.config))
        self.sandbox = RunningSandbox(world, self.door, "127.0.0.1", 0)  # type: ignore[arg-type]
        self._show(world)
        self.sandbox.start()
        self.settings: Settings = settings_for(self.sandbox, self.folder / "data")
        self.clock = StandingClock(self.setting.config.get("start", world.config.start))
        self.tape = Tape(self.sandbox.base_url, on_busy=lambda: self.sandbox.advance(timedelta(seconds=2)))
        self._play()
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def app(self) -> Iterator[App]:
        """Open the installation."""
        app = App.open(self.settings, self.clock)
        try:
            yield app
        finally:
            app.close()

    @contextmanager
    def batch(self) -> Iterator[App]:
        """Put world and installation back, and open the installation with the tape between it and the world."""
        self._show(pickle.loads(self._world))
        shutil.rmtree(self.settings.data_dir)
        shutil.copytree(self.folder / "kept", self.settings.data_dir)
        self.clock.move_to(self.sandbox.world.clock.now())
        with between(self.tape), self.app() as app:
            yield app

    @contextmanager
    def seen_as_it_is(self) -> Iterator[None]:
        """Let the clients see the world itself while the block runs."""
        self.tape.begin()
        self.tape.is_keeping = False
        try:
            yield
        finally:
            self.tape.is_keeping = True

    def keep(self) -> None:
        """Keep the world as it is now as the one that batches begin in."""
        self._world: bytes = self.sandbox.do(lambda: pickle.dumps(self.sandbox.world))

    def wrongs(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Return what was done wrong in the world, by check, reference and problem."""
        found = self.sandbox.do(lambda: examine(self.sandbox.world, NEVER))
        return {
            (check["name"], each["reference"], each["problem"]): each
            for check in found["checks"]
            for each in check["violations"]
        }

    def _play(self) -> None:
        with self.app() as app:
            for number, days in enumerate(self.setting.passes):
                self._live(timedelta(days=days))
                is_held = number >= len(self.setting.passes) - self.setting.held
                lanes = [lane for lane in LANES if not (is_held and lane in CONCLUDES)]
                run_pass(app, SHOP, run_id=f"before-{number}", everything=True, lanes=lanes)
        self._live(timedelta(hours=self.setting.hours_unseen))
        shutil.copytree(self.settings.data_dir, self.folder / "kept")
        self.keep()

    def _live(self, delay: timedelta) -> None:
        self.sandbox.advance(delay)
        self.clock.move_to(self.sandbox.world.clock.now())

    def _show(self, world: World) -> None:
        from marketplace_returns.sandbox.app import build

        gate = build(world)

        def change() -> None:
            self.sandbox.world, self.sandbox.gate, self.door.gate = world, gate, gate

        self.sandbox.do(change)
