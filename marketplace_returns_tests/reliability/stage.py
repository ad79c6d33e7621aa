"""One sandbox for many cells: a running server whose world is changed between them.

Here live the server and the worlds that cells begin in, made once and kept as bytes. Not here: what happens in a cell.
Invariant: a cell begins in a world of its own, equal to the one that every other cell of its write begins in.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from starlette.types import Receive, Scope, Send

from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.ledger.connection import LEDGER_FILE
from marketplace_returns.sandbox.app import build
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.gate import Gate
from marketplace_returns.sandbox.server import RunningSandbox
from marketplace_returns.sandbox.world import World
from marketplace_returns_tests.ledger.sandboxed import Place, SandboxClock, connected, shop_of
from marketplace_returns_tests.reliability.writes import SCENES, Call, Write


@dataclass(frozen=True)
class Prepared:
    """The world in which a write's cells begin, and what is planned there."""

    world: bytes
    plan: IntentPlan
    other: IntentPlan | None


class Door:
    """The application that is served: the world of the cell being played, and a watch on the calls that come."""

    def __init__(self) -> None:
        self.gate: Gate | None = None
        self.watched: Collection[Call] = ()
        self.is_applied: Callable[[], bool] = lambda: False
        self.repeated = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on; count it where it writes what is applied already."""
        assert self.gate is not None
        if scope["type"] == "http" and not scope["path"].startswith("/sandbox"):
            system, operation, _ = self.gate._name(scope)
            if (system, operation) in self.watched and self.is_applied():
                self.repeated += 1
        await self.gate(scope, receive, send)


class StageClock(SandboxClock):
    """The world's clock, read without asking the server's thread: a world that is served only moves when it is told to."""

    def now(self) -> datetime:
        return self.sandbox.world.clock.now()


class Stage:
    """The running sandbox, its door, and the scenes; close it, or use it as a context manager."""

    def __init__(self) -> None:
        self.door = Door()
        self.folder = Path(tempfile.mkdtemp(prefix="reliability-"))
        world = World(WorldConfig())
        self.sandbox = RunningSandbox(world, self.door, "127.0.0.1", 0)  # type: ignore[arg-type]
        self.show(world)
        self.sandbox.start()
        self._scenes: dict[str, bytes] = {}
        self._prepared: dict[str, Prepared] = {}
        self._empty_ledger: bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sandbox.stop()

    def show(self, world: World) -> None:
        """Let a world be the one that is served."""
        gate = build(world)

        def change() -> None:
            self.sandbox.world, self.sandbox.gate, self.door.gate = world, gate, gate

        self.sandbox.do(change)

    def empty_ledger(self) -> bytes:
        """Return an empty ledger's file, which takes longer to make than a cell to play."""
        if not self._empty_ledger:
            folder = self.folder / "empty"
            with connected(folder, shop_of(self.sandbox), StageClock(self.sandbox)):
                pass
            self._empty_ledger = (folder / LEDGER_FILE).read_bytes()
        return self._empty_ledger

    def prepared(self, write: Write) -> Prepared:
        """Return the world and the plans that the cells of a write begin with."""
        if write.name not in self._prepared:
            self.show(pickle.loads(self.scene(write.scene)))
            with ExitStack() as stack:
                here = self._place(stack, write.name)
                plan = write.make(here)
                other = write.other(here) if write.other else None
            self._prepared[write.name] = Prepared(self._bytes(), plan, other)
        return self._prepared[write.name]

    def scene(self, name: str) -> bytes:
        """Return the world of a scene, played from the one before it."""
        if name not in self._scenes:
            before, config, happen = SCENES[name]
            if before:
                self.show(pickle.loads(self.scene(before)))
            else:
                self.show(World(WorldConfig(**config)))
                self.sandbox.advance(timedelta(hours=12))
            with ExitStack() as stack:
                happen(self._place(stack, name))
            self._scenes[name] = self._bytes()
        return self._scenes[name]

    def _place(self, stack: ExitStack, name: str) -> Place:
        clock = StageClock(self.sandbox)
        inside = stack.enter_context(connected(self.folder / "scenes" / name, shop_of(self.sandbox), clock))
        return Place(inside.shop, inside.ledger, inside.clients, inside.reveni, self.sandbox, clock)

    def _bytes(self) -> bytes:
        return self.sandbox.do(lambda: pickle.dumps(self.sandbox.world))
