"""Between the clients and the sandbox: answers are kept, and the one that is to be struck is given as its mutant.

Here lives the one place where httpx's transport is stood in for. Not here: what a mutant is. Invariant: nothing leaves for
another host than the sandbox; a request that was never asked before is asked of the sandbox itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from marketplace_returns.sources.http import HttpSource
from marketplace_returns_tests.reliability.abuse.mutate import Mutant, Reply

BUSY_MAX = 5
Key = tuple[str, str, bytes]
_HOP_BY_HOP = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding"})


@dataclass
class Tape:
    """The answers of the reads, by request.

    ``asked`` are the requests of the reading that runs; ``strike`` makes a mutant of the answer to ``struck``, as often as it
    is asked for; ``look`` may make one of any read's answer, kept or not.
    """

    origin: str
    replies: dict[Key, Reply] = field(default_factory=dict)
    asked: list[Key] = field(default_factory=list)
    struck: Key | None = None
    strike: Callable[[Reply], Mutant] | None = None
    look: Callable[[Reply], Mutant | None] | None = None
    is_keeping: bool = True
    made: list[Mutant] = field(default_factory=list)
    is_write: bool = False
    on_busy: Callable[[], object] = lambda: None
    """What is done where the world answers 429, before it is asked again."""

    def begin(self, struck: Key | None = None, strike: Callable[[Reply], Mutant] | None = None) -> None:
        """Begin a reading, with one of its answers struck."""
        self.asked, self.made = [], []
        self.struck, self.strike = struck, strike

    def answer(self, request: httpx.Request, ask: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        """Answer a request."""
        if str(request.url).startswith(f"{self.origin}/sandbox/") or self.is_write:
            return ask(request)
        if not str(request.url).startswith(f"{self.origin}/"):
            raise httpx.ConnectError("nothing leaves this machine", request=request)
        key = (request.method, str(request.url), request.read())
        reply = self.replies.get(key) if self.is_keeping else None
        if reply is None:
            reply = self._told(request, ask)
            if self.is_keeping:
                self.replies[key] = reply
        self.asked.append(key)
        mutant = None
        if self.look is not None:
            mutant = self.look(reply)
        elif self.strike is not None and key == self.struck:
            mutant = self.made[0] if self.made else self.strike(reply)
        if mutant is not None:
            self.made.append(mutant)
            reply = mutant.reply
        return httpx.Response(
            reply.status, headers=list(reply.headers), stream=httpx.ByteStream(reply.body), request=request
        )

    def _told(self, request: httpx.Request, ask: Callable[[httpx.Request], httpx.Response]) -> Reply:
        """Ask the world; it counts calls a second, and its clock stands."""
        reply = _read(ask(request))
        for _ in range(BUSY_MAX):
            if reply.status != HTTPStatus.TOO_MANY_REQUESTS:
                break
            self.on_busy()
            reply = _read(ask(request))
        return reply


def _read(response: httpx.Response) -> Reply:
    try:
        body = response.read()
    finally:
        response.close()
    headers = tuple((name, value) for name, value in response.headers.multi_items() if name not in _HOP_BY_HOP)
    return Reply(response.status_code, headers, body)


@contextmanager
def between(tape: Tape) -> Iterator[Tape]:
    """Let every client of this process talk through the tape while the block runs."""
    handle, attempt = httpx.HTTPTransport.handle_request, HttpSource._attempt

    def handled(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        return tape.answer(request, lambda asked: handle(transport, asked))

    def attempted(source: HttpSource, operation: str, request: httpx.Request, *, is_write: bool = False) -> Any:
        tape.is_write = is_write
        return attempt(source, operation, request, is_write=is_write)

    httpx.HTTPTransport.handle_request = handled  # type: ignore[method-assign]
    HttpSource._attempt = attempted  # type: ignore[method-assign]
    try:
        yield tape
    finally:
        httpx.HTTPTransport.handle_request = handle  # type: ignore[method-assign]
        HttpSource._attempt = attempt  # type: ignore[method-assign]
