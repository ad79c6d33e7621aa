"""Workers that die and workers that race: real processes, a real ledger file, a real HTTP server that counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.ledger.states import State
from marketplace_returns_tests.ledger.worker import HttpOutside, run
from marketplace_returns_tests.ledger.world import NOW, SHOP, acceptance, decision, open_ledger, refund, shop

WORKER = [sys.executable, "-m", "marketplace_returns_tests.ledger.worker"]


class Applied(ThreadingHTTPServer):
    """What reached the outside: effects by natural key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.effects: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Applied

    def do_PUT(self) -> None:
        with self.server.lock:
            self.server.effects[self.path.strip("/")] += 1
        self._answer("applied")

    def do_GET(self) -> None:
        with self.server.lock:
            count = self.server.effects[self.path.strip("/")]
        self._answer(str(count))

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_arguments: object) -> None:
        """Stay quiet."""


@pytest.fixture
def outside() -> Iterator[Applied]:
    server = Applied()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def start(folder: Path, url: str, name: str, die: str = "", ledger_url: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*WORKER, str(folder), url, name, die, ledger_url], env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )


@pytest.mark.parametrize(("die", "applied"), [("before_send", 0), ("after_send", 1)])
def test_a_killed_workers_refund_is_applied_exactly_once(
    tmp_path: Path, outside: Applied, die: str, applied: int
) -> None:
    clock = FixedClock(NOW)
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(refund()), shop())
        killed = start(tmp_path, outside.url, "dying", die)
        assert killed.wait(30) == -signal.SIGKILL
        assert outside.effects.total() == applied
        (found,) = ledger.intents()
        assert found.state is State.SENDING  # committed before the first byte

        sender = HttpOutside(outside.url)
        run(ledger, sender, "second")  # within the lease: nobody touches it
        assert ledger.intents()[0].state is State.SENDING
        clock.wait(ledger.lease_s + 1)
        for _ in range(6):
            run(ledger, sender, "second")
            clock.wait(700)
        (found,) = ledger.intents()
        assert (found.state, found.is_adopted) == (State.CONFIRMED, bool(applied))
        assert outside.effects == {"L1%231": 1}
        outcomes = [attempt["outcome"] for attempt in ledger.attempts([found.intent_id])]
        assert outcomes == (["UNKNOWN"] if applied else ["UNKNOWN", "CONFIRMED"])


def race(tmp_path: Path, outside: Applied, ledger_url: str = "") -> None:
    plans = [*(refund(f"L{n}#{unit}", order=f"O{n}") for n in range(15) for unit in (1, 2))]
    with open_ledger(tmp_path, ledger_url=ledger_url) as ledger:
        ledger.apply(decision(*plans), shop())
        ledger.apply(decision(*(acceptance(f"O{n}") for n in range(30)), lane="accept_orders"), shop())
        workers = [start(tmp_path, outside.url, f"w{n}", ledger_url=ledger_url) for n in range(2)]
        assert [worker.wait(60) for worker in workers] == [0, 0]
        run(ledger, HttpOutside(outside.url), "last")
        assert {each.state for each in ledger.intents(shop=SHOP)} == {State.CONFIRMED}
        assert len(outside.effects) == 60
        assert set(outside.effects.values()) == {1}


def test_two_workers_at_once_send_each_write_once(tmp_path: Path, outside: Applied) -> None:
    race(tmp_path, outside)


@pytest.mark.postgres
@pytest.mark.played
def test_two_workers_at_once_on_postgres_send_each_write_once(
    tmp_path: Path, outside: Applied, postgres_database: str
) -> None:
    race(tmp_path, outside, postgres_database)


@pytest.mark.postgres
def test_the_ledger_behaves_on_postgres_as_on_sqlite(tmp_path: Path, postgres_database: str) -> None:
    url = postgres_database
    with open_ledger(tmp_path, ledger_url=url) as first, open_ledger(tmp_path, ledger_url=url) as second:
        assert first.apply(decision(refund("L1#1"), refund("L1#2")), shop()).new_intents == 2
        assert second.apply(decision(refund("L1#1"), refund("L1#2")), shop()).known_intents == 2
        assert len(first.claim(SHOP, refund().kind, worker="a", limit=10)) == 1
        assert second.claim(SHOP, refund().kind, worker="b", limit=10) == []
        second.set_cursor(SHOP, "mirakl/order", NOW)
        assert first.cursor(SHOP, "mirakl/order") == NOW
        assert first.intents_arrow(SHOP).num_rows == 2
