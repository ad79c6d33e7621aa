"""A real receiver of alerts: an HTTP server that keeps what it is sent, and can refuse."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from marketplace_returns.alerts import Told, send_due
from marketplace_returns.clock import FixedClock
from marketplace_returns.ledger import Ledger
from marketplace_returns.settings import Settings
from marketplace_returns_tests.ledger.world import NOW, SHOP, put_empty_ledger


class Receiver(ThreadingHTTPServer):
    """What came, by path; a path in ``broken`` is answered with its status."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.came: dict[str, list[dict[str, Any]]] = {}
        self.broken: dict[str, int] = {}
        self.before: Callable[[], None] = lambda: None
        self.lock = threading.Lock()

    def url(self, path: str = "ops") -> str:
        """Return the Apprise URL of a path."""
        return f"json://127.0.0.1:{self.server_port}/{path}"

    def messages(self, path: str = "ops") -> list[str]:
        """Return title and body of what was taken at a path."""
        with self.lock:
            return [f"{each['title']}\n{each['message']}" for each in self.came.get(path, [])]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.split("?")[0].strip("/")
        self.server.before()
        status = self.server.broken.get(path, 200)
        if status == 200:
            with self.server.lock:
                self.server.came.setdefault(path, []).append(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Stay quiet."""


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver."""
    server = Receiver(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def settings(folder: Path, channels: Mapping[str, Mapping[str, Any]], ledger_url: str = "", **alerts: Any) -> Settings:
    """Settings of two shops with alert channels."""
    shop = {
        "marketplace": "asos",
        "currency": "GBP",
        "time_zone": "Europe/London",
        "returns": {"platform": "reveni", "base_url": "https://api.reveni.io", "store_id": "store"},
    }
    shops = {
        name: {**shop, **more, "mirakl": {"base_url": "https://example.mirakl.net", "shop_id": number}}
        for name, number, more in (
            (SHOP, 2001, {}),
            ("asos_es", 2002, {"currency": "EUR", "time_zone": "Europe/Madrid"}),
        )
    }
    return Settings.model_validate(
        {
            "data_dir": folder,
            "mappings_dir": folder / "none",
            "ledger_url": ledger_url,
            "alerts": {**alerts, "channels": channels},
            "console": {"base_url": "https://console.example.test"},
            "shops": shops,
        }
    )


class Desk:
    """A ledger with its clock and its alert channels."""

    def __init__(self, folder: Path, channels: Mapping[str, Mapping[str, Any]], ledger_url: str = "", **alerts: Any):
        self.clock = FixedClock(NOW)
        self.settings = settings(folder, channels, ledger_url, **alerts)
        put_empty_ledger(folder, ledger_url)
        self.ledger = Ledger.open(self.settings, self.clock)
        self._ticks = 0

    def tick(self) -> list[Told]:
        """Send what is due now."""
        self._ticks += 1
        return send_due(self.ledger, self.settings, worker=f"tick-{self._ticks}")

    def after(self, hours: float) -> list[Told]:
        """Let hours pass, then send what is due."""
        self.clock.wait(hours * 3600)
        return self.tick()
