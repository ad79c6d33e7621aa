"""A worker process that runs one job and may do itself harm on the way; forked from a process that is warm already.

Here live the job, the hooks and the forking parent. Not here: what is judged (cell.py). Invariant: a hook leaves the mark
``struck`` in the ledger's folder before it strikes, so that a cell in which nothing was struck is seen.
"""

from __future__ import annotations

import functools
import os
import pickle
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpcore
import httpx
from httpcore._backends.sync import SyncStream
from sqlalchemy.exc import OperationalError

from marketplace_returns.cli.sandbox_process import SandboxProcess
from marketplace_returns.errors import LedgerBusy
from marketplace_returns.lanes.plan import IntentPlan, LaneDecision
from marketplace_returns.ledger import Ledger, connection, intents
from marketplace_returns.ledger.connection import LEDGER_FILE
from marketplace_returns.ledger.dispatch import drain, read_backs
from marketplace_returns.settings import Shop
from marketplace_returns.sources.http import HttpSource
from marketplace_returns_tests.ledger.sandboxed import Inside, connected

BUSY_S = 0.2
"""How long a worker waits for a lock that nobody will give back, instead of half a minute."""

STARVED = 3
"""How a worker ends that could not write the ledger."""

# No cell talks TLS, and making a context takes longer than a whole cell.
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)


@dataclass(frozen=True)
class Order:
    """What one worker is to do.

    ``number`` counts the job's writing calls before the one that is struck; ``time_out_s`` is the time-out of that call, or of
    every read where ``is_looking``, and 0 leaves the usual one.
    """

    folder: Path
    base_url: str
    shop: Shop
    plans: tuple[IntentPlan, ...]
    name: str
    hook: str = ""
    number: int = 0
    time_out_s: float = 0.0
    is_looking: bool = False
    waits_for_go: bool = False


def job(inside: Inside, plans: Sequence[IntentPlan], name: str) -> None:
    """Do what every pass does: take over the plans, read unclear writes back, send what is due."""
    lanes: dict[str, list[IntentPlan]] = {}
    for each in plans:
        lanes.setdefault(f"grid/{each.kind}", []).append(each)
    for lane, planned in lanes.items():
        decision = LaneDecision(
            lane=lane, shop=inside.shop.name, intents=tuple(planned), exceptions=(), considered=len(planned)
        )
        inside.ledger.apply(decision, inside.shop)
    executors, kinds = inside.executors(), {each.kind for each in plans}
    read_backs(inside.ledger, inside.shop, executors, kinds=kinds, worker=name)
    drain(inside.ledger, inside.shop, executors, inside.ledger.clock, kinds=kinds, worker=name)


@dataclass(frozen=True)
class WorldClock:
    """The world's clock over HTTP; waiting lets the world live on."""

    world: SandboxProcess

    def now(self) -> datetime:
        return self.world.now()

    def wait(self, seconds: float) -> None:
        self.world.advance_to(self.world.now() + timedelta(seconds=seconds))


def work(order: Order) -> int:
    """Run the job once, with its hook; return how the process is to end."""
    if order.hook.startswith("lock"):
        connection.BUSY_S = BUSY_S  # type: ignore[misc]
    clock = WorldClock(SandboxProcess(order.base_url, {}, httpx.Client(timeout=60)))
    with connected(order.folder, order.shop, clock) as inside:
        if order.hook:
            HOOKS[order.hook](order)
        if order.time_out_s:
            impatient(order)
        while order.waits_for_go and not (order.folder / "go").exists():
            time.sleep(0.001)
        try:
            job(inside, order.plans, order.name)
        except (LedgerBusy, OperationalError):
            os._exit(STARVED)  # as a process ends whose error goes on: nothing more is written
    return 0


# -- hooks ------------------------------------------------------------------------------------------------------------


def _mark(order: Order) -> None:
    (order.folder / "struck").touch()


def _die(order: Order) -> None:
    _mark(order)
    os.kill(os.getpid(), signal.SIGKILL)


def _lock(order: Order) -> sqlite3.Connection:
    _mark(order)
    other = sqlite3.connect(order.folder / LEDGER_FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


_held: list[sqlite3.Connection] = []


def _before(owner: Any, name: str, act: Callable[[], object]) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        act()
        return original(*arguments, **named)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, act: Callable[[], object]) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        act()
        return result

    setattr(owner, name, wrapped)


def die_in_plan(order: Order) -> None:
    """Die inside the transaction that makes the plans intents."""
    _after(intents, "plan", lambda: _die(order))


def lock_plan(order: Order) -> None:
    """Have another process hold the ledger before the plans come."""
    _before(Ledger, "apply", lambda: _held.append(_lock(order)))


def die_before_send(order: Order) -> None:
    """Die when SENDING is committed and no byte has left."""
    _after(Ledger, "begin", lambda: _die(order))


def lock_begin(order: Order) -> None:
    """Have another process hold the ledger when SENDING is to be committed."""
    _before(Ledger, "begin", lambda: _held.append(_lock(order)))


def die_before_commit(order: Order) -> None:
    """Die with the answer in hand."""
    _before(Ledger, "finish", lambda: _die(order))


def die_after_commit(order: Order) -> None:
    """Die when the answer is committed."""
    _after(Ledger, "finish", lambda: _die(order))


def lock_after_commit(order: Order) -> None:
    """Have another process hold the ledger from the commit of the answer on."""
    _after(Ledger, "finish", lambda: _held.append(_lock(order)))


def disk_full(order: Order) -> None:
    """Let no byte more be written to any file when the answer is to be committed."""

    def fill() -> None:
        _mark(order)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    _before(Ledger, "finish", fill)


def impatient(order: Order) -> None:
    """Wait a fraction of a second only for the answer to the call that is struck, and as long as ever for all others."""
    calls = 0
    attempt = HttpSource._attempt

    def counted(source: HttpSource, operation: str, request: httpx.Request, *, is_write: bool = False) -> Any:
        nonlocal calls
        if is_write != order.is_looking and (order.is_looking or calls == order.number):
            request.extensions["timeout"]["read"] = order.time_out_s
        calls += is_write
        return attempt(source, operation, request, is_write=is_write)

    HttpSource._attempt = counted  # type: ignore[method-assign,assignment]


def half_then(order: Order, act: Callable[[SyncStream], object]) -> None:
    """Let half of the struck call's bytes leave, then act."""
    calls = 0
    is_struck = False
    write, send = HttpSource.write, SyncStream.write

    def counted(source: HttpSource, *arguments: Any, **named: Any) -> Any:
        nonlocal calls, is_struck
        is_struck = calls == order.number
        calls += 1
        return write(source, *arguments, **named)

    def halved(stream: SyncStream, buffer: bytes, timeout: float | None = None) -> None:
        nonlocal is_struck
        if not buffer or b" /sandbox/" in buffer[:20]:  # no bytes, or our clock asks the world for the time
            return send(stream, buffer, timeout)
        has_body = b"\r\ncontent-length: 0\r\n" not in buffer.lower() and b"\r\ncontent-length:" in buffer.lower()
        if not is_struck or has_body:  # a head whose body follows leaves whole: the body is what is cut
            return send(stream, buffer, timeout)
        is_struck = False
        send(stream, buffer[: len(buffer) // 2], timeout)
        _mark(order)
        act(stream)
        return None

    HttpSource.write = counted  # type: ignore[method-assign,assignment]
    SyncStream.write = halved  # type: ignore[method-assign]


def _raise(error: Exception) -> Callable[[SyncStream], object]:
    def act(stream: SyncStream) -> None:
        stream.close()
        raise error

    return act


HOOKS: dict[str, Callable[[Order], None]] = {
    "die_in_plan": die_in_plan,
    "lock_plan": lock_plan,
    "die_before_send": die_before_send,
    "lock_begin": lock_begin,
    "half_then_die": lambda order: half_then(order, lambda _stream: _die(order)),
    "half_then_time_out": lambda order: half_then(order, _raise(httpcore.WriteTimeout("no room to send"))),
    "half_then_reset": lambda order: half_then(order, _raise(httpcore.WriteError("reset by peer"))),
    "die_before_commit": die_before_commit,
    "die_after_commit": die_after_commit,
    "lock_after_commit": lock_after_commit,
    "disk_full": disk_full,
}


# -- the parent -------------------------------------------------------------------------------------------------------


class Workers:
    """Forks workers from a process that has everything loaded and no thread."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def start(self, order: Order) -> int:
        """Start a worker and return its process id."""
        return int(self._ask(order))

    def wait(self, pid: int) -> int:
        """Return how a worker ended: its exit code, or minus the signal that killed it."""
        return int(self._ask(pid))

    def close(self) -> None:
        """End the parent."""
        self._parent.stdin.close()  # type: ignore[union-attr]
        self._parent.wait(30)
        self._parent.stdout.close()  # type: ignore[union-attr]

    def _ask(self, what: Order | int) -> Any:
        pickle.dump(what, self._parent.stdin)  # type: ignore[arg-type]
        self._parent.stdin.flush()  # type: ignore[union-attr]
        return pickle.load(self._parent.stdout)  # type: ignore[arg-type]


def serve() -> None:
    """Fork a worker for each order that comes, and wait for each process id that comes."""
    httpx._transports.default.create_ssl_context()
    asked, told = sys.stdin.buffer, sys.stdout.buffer
    with closing(asked), closing(told):
        while True:
            try:
                what = pickle.load(asked)
            except EOFError:
                return
            if isinstance(what, Order):
                answer = os.fork()
                if answer == 0:
                    code = 1
                    try:
                        code = work(what)
                    except BaseException:  # noqa: BLE001 - a forked child must end here, never go on as its parent
                        traceback.print_exc()
                    finally:
                        os._exit(code)
            else:
                answer = os.waitstatus_to_exitcode(os.waitpid(what, 0)[1])
            pickle.dump(answer, told)
            told.flush()
