"""``python -m marketplace_returns_tests.benchmarks.console``: how long the console takes to answer with a full queue.

Here: a ledger seeded with exceptions, writes and a history, a large lake if one is asked for (``--lines``, made as ``lookup`` makes it), the
console as a process of its own over HTTP, and every page asked for again and again by people at once. The invariant: what is timed is what
a browser waits for, from the request to the last byte of the page; a page that is made beside is asked for as often as its answer says,
and how long it took to be there is told too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from marketplace_returns.clock import FixedClock, SystemClock
from marketplace_returns.console.accounts import Accounts
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lanes.plan import ExceptionPlan, LaneDecision
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.outcomes import Rejected
from marketplace_returns.settings import Settings, WriteKind, load_settings
from marketplace_returns_tests.benchmarks import lookup
from marketplace_returns_tests.benchmarks.contest import machine
from marketplace_returns_tests.benchmarks.webhooks import SETTINGS
from marketplace_returns_tests.console.served import NAMES, PASSWORD, Person
from marketplace_returns_tests.ledger.world import Outside, refund

P95_MS_MAX = 300
LOOK_UP_MS_MAX = 1000
LOOK_UPS = "orders, one by its id"
SLOW = {"mappings": "/mappings", "a table": "/tables/seller_metrics"}
"""Pages that are made beside (``console.waiting``)."""
SHOP = "asos_uk"
ROLE = "admin"
BATCH = 5_000
EVIDENCE = {
    "rule": "waits too long",
    "seen_at": "2026-10-05T09:00:00Z",
    "lines": [{"order_line_id": "x", "quantity": 1}],
}


@dataclass(frozen=True)
class Measured:
    """How long a page took, in milliseconds, and what the console's processor had to do for one, on any machine's load."""

    name: str
    times: list[float]
    worked: float

    @property
    def bound(self) -> int:
        """The most that its p95 may be."""
        return LOOK_UP_MS_MAX if self.name == LOOK_UPS else P95_MS_MAX

    def at(self, share: float) -> float:
        return sorted(self.times)[min(len(self.times) - 1, int(len(self.times) * share))]


def seed(settings: Settings, count: int, *, resolved: float = 0.1, snoozed: float = 0.05) -> None:
    """Fill a ledger with that many exceptions through the ledger's own functions; a tenth is resolved by its facts."""
    chance = random.Random(7)
    types = list(default_rules())
    now = datetime.now(UTC)
    clock = FixedClock(now - timedelta(days=30))
    shop = settings.shop(SHOP)
    with Ledger.open(settings, clock) as ledger:
        for start in range(0, count, BATCH):
            clock.wait(30 * 86_400 * BATCH / count)
            plans = [
                ExceptionPlan(
                    shop=SHOP,
                    type=chance.choice(types),
                    entity={"order_id": f"GB-{number:09d}-A", "order_line_id": f"GB-{number:09d}-A-1"},
                    cause=f"cause {chance.randrange(50)}",
                    message=f"Order GB-{number:09d}-A waits for acceptance for {chance.randrange(4, 90)} hours: accept or refuse it.",
                    amount_minor=chance.randrange(20_000),
                    currency="GBP",
                    evidence=EVIDENCE,
                    due_at=clock.now() + timedelta(minutes=chance.randrange(-5_000, 20_000)),
                )
                for number in range(start, min(start + BATCH, count))
            ]
            lane = f"lane{start}"
            ledger.raise_exceptions(SHOP, lane, plans)
            if chance.random() < resolved:
                ledger.raise_exceptions(SHOP, lane, ())
        intents = tuple(refund(f"L{number}#1", order=f"O{number}") for number in range(min(500, count)))
        ledger.apply(
            LaneDecision(lane="refunds", shop=SHOP, intents=intents, exceptions=(), considered=len(intents)), shop
        )
        refusing = Outside(batch_size=100, answer=lambda _: Rejected("400", "reason unknown", "mapping"))
        drain(ledger, shop, {WriteKind.REFUND: refusing}, clock, worker="seed")
        some = ledger.exceptions(limit=int(count * snoozed) or 1)
        for each in some[: min(len(some), 300)]:
            ledger.snooze(each.exception_id, now + timedelta(days=2), by="seed", note="to be quiet")
    accounts = Accounts.open(settings, SystemClock())
    accounts.add(NAMES[ROLE], ROLE, PASSWORD, by="seed")  # type: ignore[index]
    accounts.close()


@contextmanager
def process(folder: Path) -> Iterator[tuple[str, int]]:
    """Run the console as people run it; gives its address and the process's number."""
    command = [sys.executable, "-m", "marketplace_returns.cli.main", "console", "--port", "0", "--json"]
    environment = {**os.environ, "MARKETPLACE_RETURNS_CONFIG": str(folder / "shops.toml")}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield json.loads(running.stdout.readline())["url"], running.pid
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(30)


def pages(person: Person, chance: random.Random) -> dict[str, str]:
    """The addresses that are timed: every page, the queue in each way it is asked for, deep in it too."""
    at = "/exceptions"
    for _ in range(10):
        found = re.search(r'rel="next" href="([^"]+)"', person.get(at))
        if found is None:
            break
        at = found[1].replace("&amp;", "&")
    ids = re.findall(r'href="/exceptions/(\d+)"', person.get("/exceptions"))
    write = re.findall(r'href="/exceptions/(\d+)"', person.get("/exceptions?type=REFUND_REJECTED_STATE&text=L"))
    middle = int((datetime.now(UTC) + timedelta(days=1)).timestamp()) * 1_000_000
    return {
        "queue": "/exceptions",
        "queue, ten pages on": at,
        "queue, from tomorrow's clocks on": f"/exceptions?from=a{middle}.1",
        "queue, of an owner": "/exceptions?owner=warehouse",
        "queue, critical of a type": "/exceptions?severity=critical&type=ACK_OVERDUE",
        "queue, a shop": f"/exceptions?shop={SHOP}",
        "queue, one order": f"/exceptions?text=GB-{chance.randrange(1000):09d}-A",
        "queue, words that are nowhere": "/exceptions?text=nowhere+to+be+found",
        "queue, snoozed": "/exceptions?shown=snoozed",
        "queue, resolved": "/exceptions?shown=resolved",
        "exception": f"/exceptions/{chance.choice(ids)}",
        "exception of a write": f"/exceptions/{(write or ids)[0]}",
        "months": "/periods",
        "writes": "/writes",
        "history": "/history",
        "account": "/account",
        "lanes": "/lanes",
        "tables": "/tables",
        "a table that was looked at lately": "/tables/lane_health?sort=kind",
        "checklist": "/checklist",
        "orders": "/orders",
    }


def order_ids(settings: Settings, count: int) -> list[str]:
    """Draw some orders of the lake."""
    con = Lake.open(settings).connect()
    query = f"SELECT order_id FROM lake.core.mirakl__orders USING SAMPLE reservoir({count} ROWS) REPEATABLE (7)"
    found = [order_id for (order_id,) in con.execute(query).fetchall()]
    con.close()
    return found


def worked_ms(pid: int) -> float:
    """Return the processor time that a process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def measure(
    url: str, pid: int, *, rounds: int, people: int, orders: Sequence[str]
) -> tuple[list[Measured], dict[str, float]]:
    """Ask for every page that many times, by that many people at once; return with it the seconds until each slow page was there."""
    person = Person(url)
    assert person.log_in(NAMES[ROLE]).status_code == 303  # type: ignore[index]
    asked = {name: [path] * rounds for name, path in pages(person, random.Random(3)).items()}
    if orders:
        asked[LOOK_UPS] = [f"/orders?number={order}" for order in orders]
    for paths in asked.values():
        person.get(paths[0])

    def timed(path: str) -> float:
        begun = time.perf_counter()
        answer = person.http.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return (time.perf_counter() - begun) * 1000

    found = []
    with ThreadPoolExecutor(people) as pool:
        for name, paths in asked.items():
            begun = worked_ms(pid)
            times = list(pool.map(timed, paths))
            found.append(Measured(name, times, (worked_ms(pid) - begun) / rounds))
    there_s = {}
    for name, path in SLOW.items() if orders else ():
        begun, times = time.perf_counter(), [timed(path)]
        while "Refresh" in (answer := person.http.get(path)).headers:
            time.sleep(float(answer.headers["Refresh"]))
            times.append(answer.elapsed.total_seconds() * 1000)
        found.append(Measured(name, times, 0.0))
        there_s[name] = time.perf_counter() - begun
    return found, there_s


def installed(folder: Path, lines: int, page: Console) -> Settings:
    """Install a shop in a folder, with a lake of so many order lines unless there is one; nothing else is kept of a run before."""
    if lines:
        settings = lookup.settings_in(folder)
        shutil.copytree(settings.mappings_dir, folder / "mappings", dirs_exist_ok=True)
        for left in (*settings.data_dir.glob("*.db*"), *settings.data_dir.glob("*.key")):
            left.unlink()
        lake = Lake.open(settings)
        with closing(lake.connect()) as con:
            there = con.execute("SELECT count(*) FROM lake.core.mirakl__order_lines").fetchone()
        if there == (0,):
            lookup.fill(lake, lines, page)
        return settings
    (folder / "mappings").mkdir(exist_ok=True)
    (folder / "shops.toml").write_text(SETTINGS, encoding="utf-8")
    return load_settings(folder / "shops.toml").model_copy(
        update={"data_dir": folder / "data", "mappings_dir": folder / "mappings"}
    )


def run(count: int, *, rounds: int, people: int, lines: int, kept: Path | None, page: Console) -> dict[str, Any]:
    """Seed, serve, ask; return what was measured."""
    with tempfile.TemporaryDirectory() as passing:
        folder = kept or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        settings = installed(folder, lines, page)
        begun = time.perf_counter()
        seed(settings, count)
        seeded_s = time.perf_counter() - begun
        orders = order_ids(settings, rounds) if lines else []
        with process(folder) as (url, pid):
            found, there_s = measure(url, pid, rounds=rounds, people=people, orders=orders)
    return {"seeded_s": seeded_s, "pages": found, "there_s": there_s}


def main() -> int:
    """Measure and tell; ends with 1 where a page is over the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exceptions", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--people", type=int, default=2, help="how many ask at once")
    parser.add_argument("--lines", type=int, default=0, help="order lines of the lake; 0: no lake")
    parser.add_argument("--folder", type=Path, help="keep the lake there, and use it again")
    given = parser.parse_args()
    page = Console()
    told = run(
        given.exceptions, rounds=given.rounds, people=given.people, lines=given.lines, kept=given.folder, page=page
    )
    about = f"{given.exceptions:,} exceptions" + (f" and {given.lines:,} order lines" if given.lines else "")
    table = Table(title=f"The console with {about}, {given.people} people at once ({machine()})")
    for column in ("page", "p50 ms", "p95 ms", "max ms", "processor ms"):
        table.add_column(column, justify="left" if column == "page" else "right")
    for each in told["pages"]:
        table.add_row(
            each.name,
            f"{statistics.median(each.times):.0f}",
            f"{each.at(0.95):.0f}",
            f"{max(each.times):.0f}",
            f"{each.worked:.0f}",
        )
    page.print(table)
    for name, seconds in told["there_s"].items():
        page.print(f"{name}: made beside in {seconds:.1f} s, every answer until then is in the table")
    over = [each.name for each in told["pages"] if each.at(0.95) > each.bound]
    page.print(
        f"p95 at most {P95_MS_MAX} ms, of look-ups {LOOK_UP_MS_MAX} ms; over: {', '.join(over) or 'none'}; "
        f"seeding took {told['seeded_s']:.0f} s"
    )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
