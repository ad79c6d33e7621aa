"""The outside in this process: every call of ours goes straight into the sandbox's application, without sockets or threads.

Here live the virtual clock, and how the application is made to answer. Not here: what goes wrong on the way (trouble.py).
Invariant: time passes only by calls, by waiting and by the script, so one seed gives one run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Scope

from marketplace_returns.sandbox.world import World

BASE_URL = "http://127.0.0.1:1"


def standing_still() -> float:
    """Tell the time of a process in which none passes: the sandbox's imports then end when its own clock moves."""
    return 0.0


class VirtualClock:
    """Our clock: the world's, off by ``skew``; waiting lets the world live on, in whole seconds.

    ``at`` plans what happens at an instant of the world that is not the world's own doing.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.skew = timedelta(0)
        self._rest_s = 0.0
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._planned = 0
        self._is_acting = False

    def now(self) -> datetime:
        return self.true_now() + self.skew

    def true_now(self) -> datetime:
        """Return the instant without our clock's error."""
        return self.world.clock.now() + timedelta(seconds=self._rest_s)

    def wait(self, seconds: float) -> None:
        self._rest_s += seconds
        whole, self._rest_s = divmod(self._rest_s, 1)
        if whole:
            self.advance_to(self.world.clock.now() + timedelta(seconds=whole))

    def at(self, instant: datetime, action: Callable[[], None]) -> None:
        """Have something happen at an instant, or now where that has passed."""
        self._planned += 1
        heapq.heappush(self._agenda, (instant, self._planned, action))

    def advance_to(self, instant: datetime) -> None:
        """Let the world live until an instant of its own clock; what is planned for times before happens then."""
        while self._agenda and self._agenda[0][0] <= instant:
            due, _, action = heapq.heappop(self._agenda)
            self._live_until(due)
            action()
        self._live_until(instant)

    def _live_until(self, instant: datetime) -> None:
        if instant > self.world.clock.now():
            self.world.advance_to(instant)


@dataclass(frozen=True)
class Reply:
    """A whole answer of the sandbox."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


def scope_of(request: httpx.Request, query: bytes) -> Scope:
    """Return a request as the application sees it."""
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": query,
        "root_path": "",
        "server": (url.host, url.port),
        "client": ("127.0.0.1", 1),
    }


def answer(app: ASGIApp, scope: Scope, body: bytes) -> Reply:
    """Let the application answer a request; it must not wait for anything but its request."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    _run(app(scope, receive, send))  # type: ignore[arg-type]
    start = next(message for message in sent if message["type"] == "http.response.start")
    content = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Reply(start["status"], start["headers"], content)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("the sandbox waited for something while it answered: nothing would wake it")
