"""The webhook service on a thread of this process, over real HTTP, living by a test's own clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from marketplace_returns.clock import Clock
from marketplace_returns.settings import Settings
from marketplace_returns.webhooks.app import build
from marketplace_returns.webhooks.doors import doors_of
from marketplace_returns.webhooks.inbox import Inbox
from marketplace_returns.webhooks.server import listen

START_WAIT_S = 20.0


@contextmanager
def hearing(settings: Settings, clock: Clock) -> Iterator[str]:
    """Serve the webhooks of these settings while the block runs, and give the service's address."""
    doors = doors_of(settings, sorted(settings.shops)).open
    taken = listen("127.0.0.1", 0)
    app = build(doors, settings.webhooks, Inbox.open(settings), clock)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_WAIT_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_WAIT_S)
        taken.close()
