"""The sandbox as a running server, in this process (tests, demo) or as the process (command line).

Here: the socket, the thread, start and stop, the state file. Not here: what is served. Invariant: a server that was started is stopped
and its socket closed when its handle is left; the world is only touched by the server's own thread while it runs.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from marketplace_returns.sandbox.app import build
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.control import settings_for
from marketplace_returns.sandbox.delivery import deliver
from marketplace_returns.sandbox.faults import FaultRule, profile
from marketplace_returns.sandbox.gate import Gate
from marketplace_returns.sandbox.truth import examine
from marketplace_returns.sandbox.world import World

START_WAIT_S = 20.0
CALL_WAIT_S = 300.0

Answer = TypeVar("Answer")


class RunningSandbox:
    """A sandbox being served from a thread of this process."""

    def __init__(self, world: World, gate: Gate, host: str, port: int, *, real_clock: bool = False) -> None:
        self.world = world
        self._real_clock = real_clock
        self.gate = gate
        # named TCP, or the event loop leaves Nagle's algorithm on and every answer waits 40 ms for an acknowledgement
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self.host, self.port = self._socket.getsockname()[:2]
        self.base_url = f"http://{self.host}:{self.port}"
        config = uvicorn.Config(
            gate,
            log_level="critical",
            access_log=False,
            lifespan="off",
            date_header=False,  # the gate gives it
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            # with the wall clock the world lives on by itself as soon as somebody wants to be told of it
            delivering = self._loop.create_task(deliver(self.world, self.gate.catch_up if self._real_clock else None))
            await self._server.serve(sockets=[self._socket])
            delivering.cancel()

        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(main())

    def start(self) -> RunningSandbox:
        """Begin to serve; raises RuntimeError when the server does not come up within 20 seconds."""
        self._thread.start()
        deadline = time.monotonic() + START_WAIT_S
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError(f"the sandbox did not start on {self.base_url}")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop serving and close the socket."""
        self._server.should_exit = True
        self._thread.join(START_WAIT_S)
        self._socket.close()

    def do(self, action: Callable[[], Answer]) -> Answer:
        """Run `action` on the server's thread, between two requests, and return its answer."""
        loop = self._loop
        if loop is None or not self._thread.is_alive():
            return action()

        async def run() -> Answer:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), loop).result(CALL_WAIT_S)

    def advance(self, delay: timedelta) -> int:
        """Let the world live for `delay`; returns how many events happened."""
        return self.do(lambda: self.world.advance(delay))

    def advance_to(self, instant: datetime) -> int:
        """Let the world live until `instant`; returns how many events happened."""
        return self.do(lambda: self.world.advance_to(instant))

    def truth(self, grace: timedelta = timedelta(0)) -> dict[str, Any]:
        """The sandbox's verdict on what was done to it (see truth.py)."""
        return self.do(lambda: examine(self.world, grace))

    def add_fault(self, rule: FaultRule) -> None:
        """Switch a fault rule on."""
        self.do(lambda: self.gate.rules.append(rule))

    def clear_faults(self) -> None:
        """Switch every fault rule off."""
        self.do(self.gate.rules.clear)

    def settings(self) -> dict[str, Any]:
        """What a shop's settings must hold to talk to this sandbox (as GET /sandbox/settings)."""
        return settings_for(self.world, self.base_url)


def serve(
    config: WorldConfig,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    state_path: Path | None = None,
    faults: str = "none",
    real_clock: bool = False,
) -> RunningSandbox:
    """Serve a world from a thread and return its handle; port 0 picks a free one.

    With a `state_path` that exists the world in it goes on (and `config` is not used). The caller stops it.
    """
    world = World.load(state_path) if state_path is not None and state_path.exists() else World(config)
    gate = build(world, real_clock=real_clock)
    gate.rules = profile(faults, world.config.seed)
    return RunningSandbox(world, gate, host, port, real_clock=real_clock).start()


@contextmanager
def running_sandbox(
    config: WorldConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    state_path: Path | None = None,
    faults: str = "none",
    real_clock: bool = False,
) -> Iterator[RunningSandbox]:
    """Serve a world while the block runs; with `state_path` the world is kept there at the end."""
    sandbox = serve(config or WorldConfig(), host, port, state_path=state_path, faults=faults, real_clock=real_clock)
    try:
        yield sandbox
    finally:
        sandbox.stop()
        if state_path is not None:
            sandbox.world.save(state_path)
