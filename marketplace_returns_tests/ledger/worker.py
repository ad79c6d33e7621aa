"""A worker process of the crash tests: drains one ledger against one HTTP server and may die at a chosen point."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import httpx

from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.dispatch import drain, read_backs
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import Absent, Confirmed, Found, Outcome, ReadBack, Ready
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.world import open_ledger, shop


class HttpOutside:
    """PUTs each write once to a server that counts, and reads the count back."""

    batch_size = 3

    def __init__(self, url: str, die: str = "") -> None:
        self._client = httpx.Client(base_url=url)
        self._die = die

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Ready]:
        return {each.intent_id: Ready() for each in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for each in intents:
            self._maybe_die("before_send")
            self._client.put(_path(each)).raise_for_status()
            self._maybe_die("after_send")
            outcomes[each.intent_id] = Confirmed(each.natural_key)
        return outcomes

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        return {
            each.intent_id: Found(each.natural_key) if int(self._client.get(_path(each)).text) else Absent()
            for each in intents
        }

    def _maybe_die(self, point: str) -> None:
        if self._die == point:
            os.kill(os.getpid(), signal.SIGKILL)


def run(ledger: Ledger, outside: HttpOutside, name: str) -> None:
    executors = {WriteKind.REFUND: outside, WriteKind.ACCEPT_ORDER: outside}
    read_backs(ledger, shop(), executors, worker=name)
    drain(ledger, shop(), executors, ledger.clock, worker=name)


def _path(each: Intent) -> str:
    prefix = "" if each.kind is WriteKind.REFUND else "accept-"
    return f"/{prefix}{quote(each.natural_key, safe='')}"


if __name__ == "__main__":
    folder, url, name, die, ledger_url = sys.argv[1:]
    with open_ledger(Path(folder), ledger_url=ledger_url) as opened:
        run(opened, HttpOutside(url, die), name)
