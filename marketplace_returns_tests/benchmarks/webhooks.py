"""``python -m marketplace_returns_tests.benchmarks.webhooks``: a flood of webhooks, a SIGKILL in its midst, nothing lost.

Here: the service as a process of its own, an open-loop sender with many connections, and the count of what was answered
with 2xx and is not in the database. The sender behaves as real ones do: what was not answered with 2xx it sends again.
The invariant: latency is counted from when an event was due to be sent, so that a stalled service cannot hide.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from marketplace_returns_tests.benchmarks.contest import machine

TOKEN = "synthetic-token-of-a-benchmark-0001"
SECRET = "synthetic-secret"
SHOP = "asos_uk"
CONNECTIONS = 128
START_WAIT_S = 30.0
RESEND_S = 0.25
SETTINGS = """
data_dir = "data"
mappings_dir = "mappings"
[shops.asos_uk]
marketplace = "asos"
currency = "GBP"
time_zone = "Europe/London"
[shops.asos_uk.mirakl]
base_url = "http://127.0.0.1:9"
shop_id = 2001
call_profile = "sandbox"
[shops.asos_uk.returns]
platform = "reveni"
base_url = "http://127.0.0.1:9"
store_id = "store"
[shops.asos_uk.warehouse]
base_url = "http://127.0.0.1:9"
client_id = "client"
username = "user"
"""


@dataclass
class Service:
    """The webhook service in a process of its own, which may be killed and started again on the same port."""

    folder: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return once it answers."""
        command = [sys.executable, "-m", "marketplace_returns.cli.main", "webhooks", "--port", str(self.port), "--json"]
        with (self.folder / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=errors
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the webhook service did not start: {self.said()}")
        assert TOKEN not in line.decode()

    def kill(self) -> None:
        """End it as a loss of power would: no handler runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(START_WAIT_S)

    def cpu_s(self) -> float:
        """Return the processor seconds the service has used since it started; 0 where the machine does not tell."""
        stat = Path(f"/proc/{self.process.pid}/stat") if self.process is not None else Path()
        if not stat.is_file():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kept(self) -> set[str]:
        """Return the ids of the events in the database, as another process sees them."""
        return {key.removeprefix("id:") for (key,) in self.rows("SELECT event_key FROM webhook_events")}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with closing(sqlite3.connect(self.folder / "data" / "webhooks.db")) as database:
            return database.execute(query).fetchall()

    def said(self) -> str:
        """Return all it wrote to standard error."""
        return (self.folder / "stderr").read_text(encoding="utf-8")


@contextmanager
def service(folder: Path, *, settings: str = SETTINGS, secret: str = SECRET, **variables: str) -> Iterator[Service]:
    """Install settings in a folder and serve its webhooks while the block runs."""
    (folder / "shops.toml").write_text(settings, encoding="utf-8")
    (folder / "mappings").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    prefix = "MARKETPLACE_RETURNS"
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(prefix)}
    environment |= {
        f"{prefix}_CONFIG": str(folder / "shops.toml"),
        f"{prefix}__SHOPS__ASOS_UK__RETURNS__WEBHOOK_TOKEN": TOKEN,
        f"{prefix}__SHOPS__ASOS_UK__WAREHOUSE__WEBHOOK_TOKEN": TOKEN[::-1],
        **variables,
    }
    if secret:
        environment[f"{prefix}__SHOPS__ASOS_UK__RETURNS__WEBHOOK_SECRET"] = secret
    made = Service(folder, port, environment)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@dataclass
class Flood:
    """What a flood gave: latencies (seconds from due to 2xx) of events due outside and inside an outage, ids, counts."""

    offered: int
    seconds: float = 0.0
    answered: set[str] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)
    delayed: list[float] = field(default_factory=list)
    resent: int = 0
    kills: int = 0
    statuses: dict[int, int] = field(default_factory=dict)


def signed_request(event_id: str, secret: str = SECRET) -> bytes:
    """Return one whole request of a signing returns platform, as bytes."""
    body = json.dumps(
        {"id": event_id, "event": "return.updated", "created": 1790000000, "data": {"resource_id": f"r{event_id}"}}
    ).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST /webhooks/{SHOP}/reveni/{TOKEN} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Reveni-Signature: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One kept-alive connection that asks one thing at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = b""
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.is_open = transport, True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length and self._answer is not None and not self._answer.done():
            self._buffer = b""
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    async def ask(self, request: bytes) -> int:
        """Send a request and return the status of its answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def flood(served: Service, rate: int, seconds: float, kills: tuple[float, ...] = (), name: str = "e") -> Flood:
    """Offer ``rate`` events a second for ``seconds``, killing the service at these moments; end when all are answered."""
    loop = asyncio.get_running_loop()
    total = int(rate * seconds)
    result = Flood(total)
    requests = [signed_request(f"{name}{number}") for number in range(total)]
    outages: list[tuple[float, float]] = []
    began = loop.time() + 0.2
    turn = iter(range(total))

    async def one_sender() -> None:
        connection: _Connection | None = None
        for number in turn:
            due = began + number / rate
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            while True:
                try:
                    if connection is None or not connection.is_open:
                        _, connection = await loop.create_connection(_Connection, "127.0.0.1", served.port)
                    status = await connection.ask(requests[number])
                except OSError:
                    connection = None
                    status = 0
                result.statuses[status] = result.statuses.get(status, 0) + 1
                if 200 <= status < 300:
                    break
                result.resent += 1
                await asyncio.sleep(RESEND_S)
            result.answered.add(f"{name}{number}")
            took = loop.time() - due
            is_late = any(start - 0.1 <= due <= end + 2 for start, end in outages)
            (result.delayed if is_late else result.latencies).append(took)
        if connection is not None:
            connection.close()

    async def killer() -> None:
        for moment in kills:
            await asyncio.sleep(max(0.0, began + moment - loop.time()))
            started = loop.time()
            outages.append((started, float("inf")))
            await asyncio.to_thread(served.kill)
            await asyncio.to_thread(served.start)
            outages[-1] = (started, loop.time())
            result.kills += 1

    await asyncio.gather(killer(), *(one_sender() for _ in range(CONNECTIONS)))
    result.seconds = loop.time() - began
    return result


def lost(result: Flood, kept: set[str]) -> set[str]:
    """Return what was answered with 2xx and is not there."""
    return result.answered - kept


def _quantile(values: list[float], share: float) -> str:
    return f"{sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000:.1f}" if values else "-"


def main() -> None:
    """Run the flood and print what it gave."""
    parser = argparse.ArgumentParser(prog="benchmarks.webhooks", description=__doc__)
    parser.add_argument("--rate", type=int, default=2_000, help="events offered a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=1, help="how often the service is killed on the way")
    wanted = parser.parse_args()
    chance = random.Random(time.time_ns())
    kills = tuple(sorted(chance.uniform(0.2, 0.8) * wanted.seconds for _ in range(wanted.kills)))
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as served:
        # what one event costs the service does not hang on what else the machine does
        before = served.cpu_s()
        calm = asyncio.run(flood(served, wanted.rate, 2.0, name="calm"))
        cost_us = (served.cpu_s() - before) / calm.offered * 1e6
        result = asyncio.run(flood(served, wanted.rate, wanted.seconds, kills))
        gone = lost(result, served.kept())
    table = Table(
        title="Webhooks kept durably, over HTTP, signed", caption=f"{machine()}. Client and service share them."
    )
    for column in ("what", "figure"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rows = [
        ("offered", f"{result.offered:,} at {wanted.rate:,}/s for {wanted.seconds:.0f} s"),
        (
            "answered 2xx",
            f"{len(result.answered):,} in {result.seconds:.1f} s: {len(result.answered) / result.seconds:,.0f}/s",
        ),
        ("p50 / p95 / p99 ms, from when due", " / ".join(_quantile(result.latencies, q) for q in (0.5, 0.95, 0.99))),
        (
            "the same, due while it was killed or catching up",
            " / ".join(_quantile(result.delayed, q) for q in (0.5, 0.95, 0.99)),
        ),
        ("events so due", f"{len(result.delayed):,}"),
        ("processor of the service, per event", f"{cost_us:,.0f} µs"),
        ("SIGKILLs", str(result.kills)),
        ("sent again", f"{result.resent:,}"),
        ("lost (2xx, and not in the database)", str(len(gone))),
    ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if gone:
        sys.exit(1)


if __name__ == "__main__":
    main()
