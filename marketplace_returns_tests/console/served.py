"""A console served over real HTTP by uvicorn, over a real ledger, with an account of each role."""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import httpx
import uvicorn

from marketplace_returns.clock import Clock
from marketplace_returns.console.accounts import Accounts
from marketplace_returns.console.app import SESSION
from marketplace_returns.console.roles import Role
from marketplace_returns.console.server import open_console
from marketplace_returns.settings import Settings

PASSWORD = "a long enough phrase"
NAMES = {role: f"{role}.person" for role in Role}


@dataclass
class Person:
    """A browser without a page: it keeps cookies, fills forms in and sends them as a browser does."""

    base_url: str
    http: httpx.Client = field(init=False)
    csrf: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.base_url, timeout=60, follow_redirects=False)

    def log_in(self, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        """Log in by the form of the page."""
        page = self.http.get("/log-in")
        fields = {"csrf": fields_of(page.text)["csrf"], "name": name, "password": password, **more}
        return self.http.post("/log-in", data=fields, headers={"Origin": self.base_url})

    def get(self, path: str, *, status: int = 200) -> str:
        """Return a page."""
        answer = self.fetch(path)
        assert answer.status_code == status, f"{path}: {answer.status_code} {told(answer.text)}"
        return answer.text

    def fetch(self, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        """Ask for an address as a browser does: again, as long as the answer says so."""
        while True:
            answer = self.http.get(path, params=params)
            if "Refresh" not in answer.headers:
                return answer
            time.sleep(float(answer.headers["Refresh"]))

    def send(self, path: str, page: str, **fields: str | list[str]) -> httpx.Response:
        """Send a form with the hidden fields of the page it stands on, which is asked for once in a session."""
        session = self.http.cookies.get(SESSION) or ""
        if session not in self.csrf:
            self.csrf[session] = fields_of(self.get(page))["csrf"]
        return self.post(path, {"csrf": self.csrf[session], "form": secrets.token_urlsafe(16), **fields})

    def post(self, path: str, fields: dict[str, str | list[str]], **headers: str) -> httpx.Response:
        """Send fields as a form of our own origin."""
        return self.http.post(path, data=fields, headers={"Origin": self.base_url, **headers})

    def did(self, path: str, page: str, **fields: str | list[str]) -> str:
        """Send a form that is done, and return what the next page says."""
        answer = self.send(path, page, **fields)
        assert answer.status_code == 303, told(answer.text)
        return told(self.get(answer.headers["location"]))


@dataclass
class Served:
    """A console that answers, and what it stands on."""

    base_url: str
    settings: Settings
    clock: Clock
    accounts: Accounts
    people: dict[Role, Person] = field(default_factory=dict)

    def person(self, role: Role) -> Person:
        """Return somebody of a role who is logged in."""
        if role not in self.people:
            self.people[role] = Person(self.base_url)
            assert self.people[role].log_in(NAMES[role]).status_code == 303
        return self.people[role]


def fields_of(page: str) -> dict[str, str]:
    """Return the hidden fields of a page, the last where a name stands more than once."""
    return {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page)
    }


def told(page: str) -> str:
    """Return what a page says on top: what was done, or what is wrong."""
    found = re.search(r'<p class="(?:said|mistake)"[^>]*>(.*?)</p>', page, re.DOTALL)
    return unescape(found[1]) if found else ""


@contextmanager
def served(settings: Settings, clock: Clock, *, roles: tuple[Role, ...] = tuple(Role)) -> Iterator[Served]:
    """Serve a console of these settings on a free port."""
    accounts = Accounts.open(settings, clock)
    for role in roles:
        accounts.add(NAMES[role], role, PASSWORD, by="test")
    app = open_console(settings, clock)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield Served(f"http://127.0.0.1:{taken.getsockname()[1]}", settings, clock, accounts)
        finally:
            server.should_exit = True
            thread.join(30)
            accounts.close()


def installation(folder: Path, **console: object) -> Settings:
    """Settings of one shop whose ledger lies in a folder."""
    mappings = folder / "mappings"
    mappings.mkdir(exist_ok=True)
    return Settings.model_validate(
        {
            "data_dir": folder,
            "mappings_dir": mappings,
            "console": console,
            "shops": {
                "asos_uk": {
                    "marketplace": "asos",
                    "currency": "GBP",
                    "time_zone": "Europe/London",
                    "mirakl": {"base_url": "https://example.mirakl.net", "shop_id": 2001},
                    "returns": {"platform": "reveni", "base_url": "https://api.reveni.io", "store_id": "store"},
                    "writes": {"default": "live", "push_stock": "shadow"},
                }
            },
        }
    )
