"""Every call passes here: it is named, counted, held to its frequency, and made to fail when a rule says so.

Here: one ASGI middleware around all systems. Not here: the rules (faults.py), the operations. Invariant: a fault `before` leaves the
world as it was; a fault `after` loses only the answer.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marketplace_returns.sandbox.faces import FACES
from marketplace_returns.sandbox.faults import FACE_KINDS, FaultRule
from marketplace_returns.sandbox.frequencies import Frequencies
from marketplace_returns.sandbox.mirakl_operations import PAGES_ARE_ONE_CALL, match
from marketplace_returns.sandbox.world import World

HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
ID_IN_PATH = re.compile(r"/(?:[0-9a-fA-F-]{16,}|[0-9]+)(?=/|$)")
PEOPLEVOX_WRITES = frozenset({"SaveData"})


class Gate:
    """The middleware, its fault rules and its counts."""

    def __init__(
        self, app: ASGIApp, world: World, catch_up: Callable[[], None], time_of_day: Callable[[], float]
    ) -> None:
        self.app = app
        self.world = world
        self.catch_up = catch_up
        self.time_of_day = time_of_day
        self.rules: list[FaultRule] = []
        self.frequencies = Frequencies()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.writes: Counter[tuple[str, str]] = Counter()
        self.statuses: Counter[tuple[str, str, int]] = Counter()
        self.faults_played: Counter[tuple[str, str, str]] = Counter()

    def reset_counts(self) -> None:
        """Start counting calls anew."""
        for counter in (self.calls, self.writes, self.statuses, self.faults_played):
            counter.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or let it fail."""
        if scope["type"] != "http" or scope["path"].startswith("/sandbox"):
            await self.app(scope, receive, send)
            return
        self.catch_up()
        system, operation, is_write = self._name(scope)
        connection, send = send, self._dated(send, system)
        self.calls[system, operation] += 1
        if is_write:
            self.writes[system, operation] += 1
        wait_s = self._frequency_wait_s(scope)
        if wait_s:
            self.statuses[system, operation, 429] += 1
            await _answer(send, 429, b'{"message":"Too many requests","status":429}', retry_after_s=wait_s)
            return
        if operation in self.world.config.forbidden_operations:
            self.statuses[system, operation, 403] += 1
            await _answer(send, 403, b'{"message":"Access is denied","status":403}')
            return
        said = ""
        if any(one.about for one in self.rules):
            body, receive = await _read(receive)
            said = f"{scope['path']} {body.decode(errors='replace')}"
        rule = next((one for one in self.rules if one.hit(system, operation, is_write=is_write, said=said)), None)

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses[system, operation, message["status"]] += 1
            await send(message)

        if rule is None:
            await self.app(scope, receive, counted_send)
            return
        self.faults_played[system, operation, rule.kind] += 1
        if rule.kind in FACE_KINDS:
            scope["sandbox_fault"] = rule.kind
            await self.app(scope, receive, counted_send)
            return
        await self._play(rule, scope, receive, send, connection)

    def _dated(self, send: Send, system: str) -> Send:
        """Put the system's own time of day on every answer (`clock_skews_s`)."""
        ahead_s = dict(self.world.config.clock_skews_s).get(system, 0)

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self.time_of_day() + ahead_s, usegmt=True).encode()
                message = {**message, "headers": [*message.get("headers", []), (b"date", date)]}
            await send(message)

        return dated

    async def _play(self, rule: FaultRule, scope: Scope, receive: Receive, send: Send, connection: Send) -> None:
        kind = rule.kind
        if kind == "slow":
            await asyncio.sleep(rule.delay_s)
            await self.app(scope, receive, send)
            return
        if kind in {"timeout_after", "reset_after", "http_500_after", "http_502_html_after", "truncated"}:
            answer = await self._applied(scope, receive)
            if kind == "truncated":
                await _truncate(send, answer)
                await _hang_up(connection)
                return
        if kind in {"timeout", "timeout_after"}:
            await asyncio.sleep(rule.delay_s)
        if kind in {"timeout", "timeout_after", "reset", "reset_after"}:
            await _hang_up(connection)
        elif kind == "other_shape":
            await _answer(send, 200, b'{"changed":true}')
        elif kind.startswith("http_502_html"):
            await _answer(send, 502, HTML_502, content_type=b"text/html")
        elif kind.startswith("http_429"):
            wait = rule.retry_after_s if kind == "http_429" else None
            await _answer(send, 429, b'{"message":"Too many requests","status":429}', retry_after_s=wait)
        else:
            await _answer(send, 500, b'{"message":"Internal Server Error","status":500}')

    async def _applied(self, scope: Scope, receive: Receive) -> list[Message]:
        """Let the call take effect and keep its answer back."""
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self.app(scope, receive, keep)
        return kept

    def _frequency_wait_s(self, scope: Scope) -> int:
        if not self.world.config.strict_frequency or not scope["path"].startswith("/mirakl/"):
            return 0
        found = match(scope["method"], scope["path"].removeprefix("/mirakl"))
        if found is None:
            return 0
        operation = found[0]
        later_page = b"page_token=" in scope["query_string"] or re.search(rb"offset=[1-9]", scope["query_string"])
        if operation.code in PAGES_ARE_ONE_CALL and later_page:
            return 0
        return self.frequencies.wait_s(operation, self.world.clock.now())

    @staticmethod
    def _name(scope: Scope) -> tuple[str, str, bool]:
        """The system, operation and whether it writes."""
        path: str = scope["path"]
        method: str = scope["method"]
        system = path.split("/", 2)[1]
        if system == "mirakl":
            found = match(method, path.removeprefix("/mirakl"))
            return (system, found[0].code, found[0].is_write) if found else (system, f"{method} unknown", False)
        if system == "peoplevox":
            action = _soap_action(scope)
            return system, action, action in PEOPLEVOX_WRITES
        face = FACES.get(system)
        if face is not None and face.operation is not None:
            return system, *face.operation(method, path.removeprefix(f"/{system}"))
        rest = path.partition("/stores/")[2].partition("/")[2] or path.split("/", 2)[2]
        return system, f"{method} {ID_IN_PATH.sub('/{id}', '/' + rest)[1:]}", method != "GET"


def _soap_action(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    text = headers.get(b"soapaction", b"").decode("latin-1")
    if not text:
        found = re.search(r'action="?([^";]+)', headers.get(b"content-type", b"").decode("latin-1"))
        text = found[1] if found else ""
    return text.strip('"').rsplit("/", 1)[-1] or scope["method"]


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Return a call's whole body, and what gives it once more."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    left = list(messages)

    async def again() -> Message:
        return left.pop(0) if left else await receive()

    return b"".join(message.get("body", b"") for message in messages), again


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = b"application/json",
    retry_after_s: int | None = None,
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _truncate(send: Send, answer: list[Message]) -> None:
    """Announce the whole answer and send half of it."""
    start = next(message for message in answer if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in answer if message["type"] == "http.response.body")
    if not body:
        return  # an empty 204 has nothing to cut: only the hang-up is left
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": start["status"], "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


async def _hang_up(send: Send) -> None:
    """Close the connection without (the rest of) an answer.

    ASGI has no word for it, so the server's transport is closed; behind another server the exception does the same.
    """
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox hangs up here because a fault rule says so")
    transport.close()
    await asyncio.sleep(0.01)  # the server must notice the closed connection before this call ends
