"""What goes wrong between us and the outside, and inside of our own process: the transport, and the deaths of a worker.

Here live the kinds of trouble and how each is played. Not here: when people act (people.py), the order of passes (play.py).
Invariant: whether a call goes wrong, and how, is drawn from the seed and from the calls before it only.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any, NoReturn

import duckdb
import httpx
from sqlalchemy import Connection, Engine
from starlette.types import Scope

from marketplace_returns.lake.connection import Lake
from marketplace_returns.ledger import ledger as ledger_module
from marketplace_returns.ledger.connection import transaction
from marketplace_returns.sandbox.app import build
from marketplace_returns.sandbox.gate import HTML_502, Gate
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import Timing
from marketplace_returns_tests.reliability.simulation.outside import (
    Reply,
    VirtualClock,
    answer,
    scope_of,
    standing_still,
)

LATE_S_MAX = 170
"""Our client hangs up after 45 s; a call that it gave up may be executed up to this long after it left (4 x 45 s is the worst)."""

STALE_S_MAX = 120
STALE_SYSTEMS = frozenset({"mirakl", "reveni", "returngo"})
"""Systems whose reads may come from a copy that lags; the others sign in, and a copy knows no session."""

WRITES = {
    "timeout": 8,
    "timeout_after": 12,
    "timeout_late": 10,
    "reset": 5,
    "reset_after": 12,
    "500": 5,
    "500_after": 8,
    "502": 4,
    "502_after": 6,
    "429": 5,
    "429_bare": 3,
    "truncated": 8,
    "unreachable": 3,
    "slow": 4,
    "crash": 4,
    "crash_after": 6,
    "other_worker": 6,
    "stale": 8,
    "session_expired": 3,
}
"""What may go wrong with a call that writes, by weight. ``_after``: it is executed; ``late``: executed when we have given it up;
``stale``: it goes well, and reads do not show it for a while."""

READS = {
    "timeout": 4,
    "reset": 4,
    "500": 5,
    "502": 3,
    "429": 4,
    "truncated": 4,
    "slow": 6,
    "crash": 2,
    "other_worker": 2,
}
"""What may go wrong with a call that reads, by weight."""

AFTER = frozenset({"timeout_after", "reset_after", "500_after", "502_after", "truncated", "crash_after"})


class Crash(BaseException):
    """The worker's process dies at this point: no handler of the product may see it."""


class Trace:
    """What happened, as a running hash; the last words are kept to be shown."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.words: list[str] = []
        self.counts: Counter[str] = Counter()

    def note(self, *words: object) -> None:
        """Add an event."""
        text = " ".join(map(str, words))
        self._hash.update(text.encode() + b"\n")
        self.words.append(text)

    def digest(self) -> str:
        """Return the hash of all events so far."""
        return self._hash.hexdigest()[:16]


class Outside(httpx.BaseTransport):
    """Carries our calls into the sandbox, with trouble."""

    def __init__(
        self, world: World, clock: VirtualClock, chance: Random, trace: Trace, write_rate: float, read_rate: float
    ) -> None:
        self.world = world
        self.clock = clock
        self.chance = chance
        self.trace = trace
        self.write_rate, self.read_rate = write_rate, read_rate
        self.page_max = chance.choice((10, 25, 100, 100))
        self.gate = _gate_of(world)
        self.is_calm = False
        self.other_worker: Callable[[], None] | None = None
        self._stale: tuple[Gate, datetime] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail."""
        body = request.read()
        scope = scope_of(request, self._narrowed(request.url.query))
        system, operation, is_write = self.gate._name(scope)
        kind = self._drawn(system, is_write=is_write)
        self.clock.wait(0.05 + self.chance.random() * (1.5 if self.chance.random() < 0.1 else 0.3))
        self.trace.note(self.clock.true_now().isoformat(), system, operation, kind)
        if kind:
            self.trace.counts[f"trouble/{kind}"] += 1
        self._before(kind, scope, body, request)
        if (refusal := self._refused(kind)) is not None:
            return refusal
        reply = self._answered(system, scope, body, is_write=is_write)
        self.trace.note(reply.status, len(reply.body))
        if kind in AFTER:
            return self._lost(kind, request, reply)
        return httpx.Response(reply.status, headers=list(reply.headers), content=reply.body)

    def _before(self, kind: str, scope: Scope, body: bytes, request: httpx.Request) -> None:
        """Play what happens before the outside executes anything; raises where it never will while we wait."""
        match kind:
            case "unreachable":
                raise httpx.ConnectError("nobody listens", request=request)
            case "crash":
                raise Crash
            case "reset":
                raise httpx.ReadError("reset by peer", request=request)
            case "timeout_late":
                self._execute_later(scope, body)
                self._give_up(request)
            case "timeout":
                self._give_up(request)
            case "slow":
                self.clock.wait(self.chance.uniform(5, 40))
            case "stale":
                self._lag()
            case "session_expired":
                scope["sandbox_fault"] = kind
            case "other_worker" if self.other_worker is not None:
                self.other_worker()

    def _refused(self, kind: str) -> httpx.Response | None:
        """Return what the outside says without executing anything."""
        match kind:
            case "500":
                return httpx.Response(500, content=b'{"message":"Internal Server Error"}')
            case "502":
                return httpx.Response(502, content=HTML_502)
            case "429":
                wait = {"Retry-After": str(self.chance.randint(1, 120))}
                return httpx.Response(429, headers=wait, content=b'{"message":"Too many requests"}')
            case "429_bare":
                return httpx.Response(429, content=b'{"message":"Too many requests"}')
        return None

    def _drawn(self, system: str, *, is_write: bool) -> str:
        if self.is_calm or self.chance.random() >= (self.write_rate if is_write else self.read_rate):
            return ""
        kinds = WRITES if is_write else READS
        kind = self.chance.choices(list(kinds), list(kinds.values()))[0]
        if (kind == "stale" and system not in STALE_SYSTEMS) or (kind == "session_expired" and system != "peoplevox"):
            return ""
        return kind

    def _answered(self, system: str, scope: Scope, body: bytes, *, is_write: bool) -> Reply:
        if self._stale is not None:
            gate, until = self._stale
            if self.clock.true_now() >= until:
                self._stale = None
            elif not is_write and system in STALE_SYSTEMS and b"page_token=" not in scope["query_string"]:
                self.trace.counts["stale reads"] += 1
                return answer(gate, scope, body)
        return answer(self.gate, scope, body)

    def _lag(self) -> None:
        """Let reads show the world as it is now, for a while."""
        world: World = pickle.loads(pickle.dumps(self.world))
        self._stale = _gate_of(world), self.clock.true_now() + timedelta(seconds=self.chance.uniform(2, STALE_S_MAX))

    def _execute_later(self, scope: Scope, body: bytes) -> None:
        at = self.clock.true_now() + timedelta(seconds=self.chance.uniform(1, LATE_S_MAX))

        def execute() -> None:
            reply = answer(self.gate, scope, body)
            self.trace.note("executed late", scope["path"], reply.status)

        self.clock.at(at, execute)

    def _give_up(self, request: httpx.Request) -> NoReturn:
        self.clock.wait(Timing().read_time_out_s)
        raise httpx.ReadTimeout("no answer in time", request=request)

    def _lost(self, kind: str, request: httpx.Request, reply: Reply) -> httpx.Response:
        if kind == "crash_after":
            raise Crash
        if kind == "timeout_after":
            self._give_up(request)
        if kind == "reset_after" or (kind == "truncated" and not reply.body):
            raise httpx.ReadError("reset by peer", request=request)
        if kind == "truncated":
            return httpx.Response(reply.status, content=_Cut(reply.body[: len(reply.body) // 2], request))
        if kind == "500_after":
            return httpx.Response(500, content=b'{"message":"Internal Server Error"}')
        return httpx.Response(502, content=HTML_502)

    def _narrowed(self, query: bytes) -> bytes:
        """Ask for small pages, so that lists move while they are read."""
        return query.replace(b"max=100", b"max=%d" % self.page_max)


class _Cut(httpx.SyncByteStream):
    """A body whose connection ends in its middle."""

    def __init__(self, half: bytes, request: httpx.Request) -> None:
        self._half, self._request = half, request

    def __iter__(self) -> Iterator[bytes]:
        yield self._half
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def _gate_of(world: World) -> Gate:
    return build(world, wall=standing_still, time_of_day=lambda: world.clock.now().timestamp())


# -- the worker dies ---------------------------------------------------------------------------------------------------


@contextmanager
def mortal(chance: Random, rate: float, trace: Trace) -> Iterator[Callable[[bool], None]]:
    """Let the worker die now and then where it commits, to the ledger or to the lake; yields what switches that on and off."""
    is_on = False

    def switch(on: bool) -> None:
        nonlocal is_on
        is_on = on

    def die(where: str) -> None:
        if is_on and chance.random() < rate:
            trace.note("crash", where)
            trace.counts[f"trouble/crash {where}"] += 1
            raise Crash

    @contextmanager
    def shaken(engine: Engine, *, is_reading: bool = False) -> Iterator[Connection]:
        with transaction(engine, is_reading=is_reading) as connection:
            yield connection
            if not is_reading:
                die("before the ledger's commit")
        if not is_reading:
            die("after the ledger's commit")

    transact = Lake.transact

    def shaken_lake(
        lake: Lake, con: duckdb.DuckDBPyConnection, run_id: str, message: str, work: Any, **more: Any
    ) -> Any:
        def then_die(inside: duckdb.DuckDBPyConnection) -> Any:
            done = work(inside)
            die("in the lake's transaction")
            return done

        done = transact(lake, con, run_id, message, then_die, **more)
        die("after the lake's commit")
        return done

    ledger_module.transaction, Lake.transact = shaken, shaken_lake  # type: ignore[assignment,method-assign]
    try:
        yield switch
    finally:
        ledger_module.transaction, Lake.transact = transaction, transact  # type: ignore[assignment,method-assign]
