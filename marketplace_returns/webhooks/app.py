"""The webhook service as an ASGI application.

Here: which address belongs to whom, and every reason to refuse. Not here: the form of an event (``events``), the database
(``inbox``), the process (``server``). The invariants: 2xx is answered only for what is durable; a refusal keeps nothing and
says nothing that the sender does not know; no token, signature or body is ever logged.

Refusals: 404 unknown address or token, 405 method, 429 too many, 413 too long, 408 too slow, 401 signature, 400 form,
503 not kept now.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from types import MappingProxyType
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from marketplace_returns.answer_headers import AnswerHeaders
from marketplace_returns.clock import Clock
from marketplace_returns.errors import MarketplaceReturnsError
from marketplace_returns.settings import WebhookSettings
from marketplace_returns.webhooks.events import SIGNATURE_HEADERS, NotReadable, is_signed, read_event
from marketplace_returns.webhooks.inbox import Inbox
from marketplace_returns.webhooks.writing import GroupWriter, NotKept, TooManyWaiting

RETRY_AFTER_S: Final = 1
TOLD_EVERY_S: Final = 60.0
_GET_TOO: Final = frozenset({"peoplevox"})  # its SubscribeEvent calls back by GET
_JSON: Final = b"application/json"
_HEADERS: Final = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",  # an address holds its token
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """Who may tell us something: one source of one shop, its token and, where it signs, its secret."""

    shop: str
    source: str
    token: bytes = field(repr=False)
    secret: bytes = field(default=b"", repr=False)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods the source calls with."""
        return ("GET", "POST") if self.source in _GET_TOO else ("POST",)


class _Refused(Exception):
    """The request is answered with a status and a word; ``headers`` beside the usual ones."""

    def __init__(self, status: int, word: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(word)
        self.status = status
        self.word = word
        self.headers = list(headers)


class _HungUp(Exception):
    """The sender left before its request was whole: there is nobody to answer."""


@dataclass(slots=True)
class _Bucket:
    """A token bucket: ``rate`` events a second, as many at once."""

    rate: float
    now: Callable[[], float]
    level: float = -1.0
    filled_at: float = 0.0

    def take(self) -> bool:
        """Take one, or tell that there is none."""
        now = self.now()
        full = self.rate if self.level < 0 else self.level + (now - self.filled_at) * self.rate
        self.level, self.filled_at = min(self.rate, full), now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass(slots=True)
class _Told:
    """Says at most once a minute that a door refuses, and how often it did."""

    count: int = 0
    told_at: float = float("-inf")

    def say(self, door: Door, word: str, now: float) -> None:
        """Count a refusal and, if it is time, log."""
        self.count += 1
        if now - self.told_at >= TOLD_EVERY_S:
            _log.warning("webhooks of %s/%s: %d refused, the last: %s", door.shop, door.source, self.count, word)
            self.told_at, self.count = now, 0


class Receiver:
    """Takes the events of all doors; an ASGI application of its own, for speed."""

    def __init__(self, doors: Sequence[Door], limits: WebhookSettings, writer: GroupWriter, clock: Clock) -> None:
        self._by_place = {(door.shop, door.source): door for door in doors}
        self._by_source: Mapping[str, list[Door]] = {
            source: [door for door in doors if door.source == source] for source in {door.source for door in doors}
        }
        self._limits = limits
        self._writer = writer
        self._clock = clock
        self._monotonic: Callable[[], float] = lambda: asyncio.get_running_loop().time()
        self._buckets = {key: _Bucket(float(limits.events_per_s_max), self._monotonic) for key in self._by_place}
        self._told = {key: _Told() for key in self._by_place}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        door = self._door(scope["path_params"])
        try:
            await self._take(door, scope, receive)
        except _Refused as refusal:
            if door is not None:
                self._told[door.shop, door.source].say(door, refusal.word, self._monotonic())
            await _answer(send, refusal.status, refusal.word, refusal.headers)
        except _HungUp:
            return
        else:
            await _answer(send, 200, "kept")

    def _door(self, place: Mapping[str, str]) -> Door | None:
        """Return the door an address opens; every token is compared in constant time."""
        token = place["token"].encode("utf-8", "surrogatepass")
        if "shop" in place:
            door = self._by_place.get((place["shop"], place["source"]))
            return door if door is not None and hmac.compare_digest(door.token, token) else None
        found = None
        for door in self._by_source.get(place["source"], ()):
            if hmac.compare_digest(door.token, token):
                found = door
        return found

    async def _take(self, door: Door | None, scope: Scope, receive: Receive) -> None:
        if door is None:
            raise _Refused(404, "not found")
        if scope["method"] not in door.methods:
            raise _Refused(405, "method not allowed", [(b"allow", ", ".join(door.methods).encode())])
        if not self._buckets[door.shop, door.source].take():
            raise _later(429, "too many events")
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await self._body(headers, receive)
        if door.secret and not is_signed(door.secret, headers.get(SIGNATURE_HEADERS[door.source]), body):
            raise _Refused(401, "the signature is missing or wrong")
        try:
            event = read_event(door.shop, door.source, scope["query_string"], body, self._clock.now())
        except NotReadable as bad:
            raise _Refused(400, str(bad)) from None
        try:
            await self._writer.keep(event)
        except TooManyWaiting:
            raise _later(429, "too many events wait") from None
        except NotKept as failed:
            raise _later(503, f"not kept ({failed})") from None

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        longest = self._limits.body_bytes_max
        # read as digits only where there are few: int() of a long text is slow, and the text is the sender's
        announced = headers.get(b"content-length", b"0")
        if len(announced) > 12 or (announced.isdigit() and int(announced) > longest):
            raise _Refused(413, "the body is too long", [(b"connection", b"close")])
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_time_out_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _HungUp
                    body += message.get("body", b"")
                    if len(body) > longest:
                        raise _Refused(413, "the body is too long", [(b"connection", b"close")])
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise _Refused(408, "the body came too slowly", [(b"connection", b"close")]) from None


def build(doors: Sequence[Door], limits: WebhookSettings, inbox: Inbox, clock: Clock) -> Starlette:
    """Return the application for these doors over an inbox, which it closes when it ends."""
    writer = GroupWriter(inbox)
    receiver = Receiver(doors, limits, writer, clock)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        writer.start()
        yield
        await writer.stop()
        inbox.close()

    app = Starlette(
        routes=[
            Route("/webhooks/{shop}/{source}/{token}", receiver),
            Route("/webhooks/{source}/{token}", receiver),  # the shop is known by its token
            Route("/health", partial(_health, inbox, writer), methods=["GET"]),
            Route("/openapi.json", _description, methods=["GET"]),
        ],
        lifespan=life,
    )
    app.router.redirect_slashes = False
    app.add_middleware(AnswerHeaders, headers=_HEADERS)
    return app


def description() -> bytes:
    """Return the OpenAPI description of the service."""
    page: bytes = resources.files(__package__).joinpath("openapi.json").read_bytes()
    return page


async def _description(_: Request) -> Response:
    return Response(description(), media_type="application/json")


async def _health(inbox: Inbox, writer: GroupWriter, _: Request) -> Response:
    """Say whether an event could be kept now."""
    try:
        await asyncio.to_thread(inbox.ping)
        is_well = writer.is_running
    except (MarketplaceReturnsError, SQLAlchemyError, OSError):
        is_well = False
    return Response(
        msgspec.json.encode({"status": "ok" if is_well else "not kept"}),
        200 if is_well else 503,
        media_type="application/json",
    )


def _later(status: int, word: str) -> _Refused:
    return _Refused(status, word, [(b"retry-after", str(RETRY_AFTER_S).encode())])


async def _answer(send: Send, status: int, word: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    body = msgspec.json.encode({"status": word})
    sent = [(b"content-type", _JSON), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
