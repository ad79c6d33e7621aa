"""The sandbox as one ASGI application: three systems under their prefixes and the control API beside them.

Here: what is mounted where. Not here: the systems, the control API (control.py), the process (server.py). Invariant: the systems are only
reached through the gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from starlette.applications import Starlette
from starlette.routing import Mount

from marketplace_returns.sandbox import control, peoplevox
from marketplace_returns.sandbox.faces import FACES
from marketplace_returns.sandbox.gate import Gate
from marketplace_returns.sandbox.mirakl_app import MiraklApp
from marketplace_returns.sandbox.world import World


@dataclass(slots=True)
class RealClock:
    """Lets the world live at the pace of the wall clock, from the moment it was made; `wall` in seconds."""

    world: World
    wall: Callable[[], float]
    _last: float | None = None

    def catch_up(self) -> None:
        """Advance the world by the whole seconds that passed."""
        now = self.wall()
        if self._last is None:
            self._last = now
        passed = int(now - self._last)
        if passed > 0:
            self._last += passed
            self.world.advance(timedelta(seconds=passed))


def build(
    world: World,
    *,
    real_clock: bool = False,
    wall: Callable[[], float] = time.monotonic,
    time_of_day: Callable[[], float] = time.time,
) -> Gate:
    """The application for one world; with `real_clock` it lives with the wall clock, else it moves only when told.

    `time_of_day` (seconds since 1970) is what the systems say in their Date headers.
    """
    clock = RealClock(world, wall)

    def catch_up() -> None:
        if real_clock:
            clock.catch_up()
        world.offers.settle_imports()

    app = Starlette()
    gate = Gate(app, world, catch_up, time_of_day)
    app.routes.extend(
        [
            Mount("/mirakl", app=MiraklApp(world)),
            Mount(f"/{world.config.platform}", routes=FACES[world.config.platform].routes(world)),
            Mount("/peoplevox", routes=peoplevox.routes(world)),
            Mount("/sandbox", routes=control.routes(world, gate, catch_up)),
        ]
    )
    return gate
