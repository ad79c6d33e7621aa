"""``python -m marketplace_returns_tests.benchmarks.latency``: how long the running system takes from event to write.

Here: Dagster's daemon with its schedules and sensors in processes of their own, as in production, against a sandbox that
lives by the wall clock; people's acts at the sandbox (an order, a parcel leaving, a parcel inspected) at known instants; and
the sandbox's own record of when the marketplace was told. Not here: how the system does it. The invariant: every act counts,
also one that was not answered when the watching ended.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from rich.console import Console
from rich.table import Table

from marketplace_returns.cli.demo_place import DemoPlace
from marketplace_returns.cli.demo_play import PlayedClock
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox, serve
from marketplace_returns.sandbox.truth import examine
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import load_settings
from marketplace_returns_tests.benchmarks.contest import machine

SHOP = "asos_uk"
PROJECT = Path(__file__).parents[2]
TOKEN = "synthetic-token-of-a-benchmark-0001"
PLAYED_DAYS = 20
STEP = timedelta(hours=36)
REST = timedelta(
    minutes=25
)  # polls read a quarter of an hour again: what was played at once would fill their pages all the time
EXTRA_S = 30.0
COMING_UP_S = 330.0  # the daemon works off its first ticks, and OR11's first window of five minutes passes
# How often may be looked (streams.py, sensors.py, frequencies.py). A refund waits for the warehouse's poll and for one of OR11's five
# calls in five minutes; for stock the import file's minute comes on top (STO01).
FREQUENCY_S = {"order accepted": 120.0, "refund sent": 600.0, "despatch confirmed": 300.0, "stock pushed": 360.0}
WITH_WEBHOOKS_S = {"order accepted": 120.0, "refund sent": 300.0, "despatch confirmed": 60.0, "stock pushed": 120.0}


@dataclass
class Watched:
    """Acts of one kind: when each happened, and how to see in the world when it was answered."""

    acts: list[tuple[datetime, Callable[[World], datetime | None], bool]] = field(default_factory=list)
    needs_none: Callable[[World, int], bool] = lambda _world, _act: False
    """Whether an act that was not answered needed no answer: what it changed was changed back by another act."""

    def seconds(self, world: World, *, is_loaded: bool) -> list[float | None]:
        """Return how long each took; None for one not answered yet."""
        found = [
            (at, seen(world))
            for act, (at, seen, loaded) in enumerate(self.acts)
            if loaded is is_loaded and not (seen(world) is None and self.needs_none(world, act))
        ]
        return [None if done is None else max(0.0, (done - at).total_seconds()) for at, done in found]


def main() -> None:
    """Watch without webhooks, then with them; in the second half of each a month's close and a backfill of 30 days run."""
    parser = argparse.ArgumentParser(prog="latency", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=12.0, help="how long each watching lasts")
    parser.add_argument("--orders", type=int, default=600)
    parser.add_argument("--only", choices=("polls", "webhooks"), default=None)
    parser.add_argument("--keep", type=Path, help="an empty folder to play in, with its logs; else one that is removed")
    wanted = parser.parse_args()
    console = Console()
    with ExitStack() as stack:
        if wanted.keep:
            wanted.keep.mkdir(parents=True, exist_ok=True)
        folder = wanted.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latency-")))
        place = prepare(folder.resolve(), wanted.orders, console)
        for name, has_webhooks in (("polls", False), ("webhooks", True)):
            if wanted.only in {None, name}:
                stack.enter_context(_running(place, console, name, wanted.minutes, has_webhooks=has_webhooks))


def prepare(folder: Path, orders: int, console: Console) -> Path:
    """Play the weeks before now, so that parcels are under way and returns open; keep world (``world.state``) and installation."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, folder / name)
    shutil.copytree(PROJECT / "mappings", folder / "mappings")
    start = (datetime.now(UTC) - timedelta(days=PLAYED_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    # the orders of the coming weeks are placed by hand here, so that they come when they are watched
    sandbox = serve(WorldConfig(orders=orders, days=PLAYED_DAYS, start=start))
    try:
        write_settings(folder, sandbox, profile="sandbox")
        clock = PlayedClock(sandbox.world.clock.now())
        app = App.open(load_settings(), clock)
        try:
            passes = 0
            until = datetime.now(UTC).replace(microsecond=0) - REST  # the world counts whole seconds
            while sandbox.world.clock.now() < until:
                sandbox.advance_to(min(sandbox.world.clock.now() + STEP, until))
                clock.move_to(sandbox.world.clock.now())
                run_pass(app, SHOP, run_id=f"before-{passes}", everything=True)
                passes += 1
        finally:
            app.close()
        console.print(f"{PLAYED_DAYS} days before now played in {passes} passes")
        sandbox.advance_to(datetime.now(UTC).replace(microsecond=0))
        sandbox.do(lambda: sandbox.world.save(folder / "world.state"))
    finally:
        sandbox.stop()
    return folder


def write_settings(folder: Path, sandbox: RunningSandbox, *, profile: str) -> None:
    """Write the settings that point at a sandbox, and make them and the folder this process's own and its children's."""
    os.chdir(folder)
    told = sandbox.settings()
    told["shop"]["mirakl"]["call_profile"] = profile
    place = DemoPlace(Path("data"))
    place.folder.mkdir(exist_ok=True)
    place.write_config({SHOP: told})
    os.environ.update(place.environment({SHOP: told}))
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["PYTHONPATH"] = str(PROJECT)
    os.environ["PYTHONWARNINGS"] = "ignore"


@contextmanager
def _running(folder: Path, console: Console, name: str, minutes: float, *, has_webhooks: bool) -> Iterator[None]:
    sandbox = serve(WorldConfig(), state_path=folder / "world.state", real_clock=True)
    with ExitStack() as stack:
        stack.callback(sandbox.stop)
        write_settings(folder, sandbox, profile="seller")
        (folder / "data" / "dagster").mkdir(parents=True, exist_ok=True)
        if has_webhooks:
            stack.enter_context(_webhooks(folder))
        else:
            for section in ("RETURNS", "WAREHOUSE"):
                os.environ.pop(f"MARKETPLACE_RETURNS__SHOPS__{SHOP.upper()}__{section}__WEBHOOK_TOKEN", None)
        stack.enter_context(
            process(
                [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(_free_port())],
                folder / f"{name}.log",
            )
        )
        frequency = WITH_WEBHOOKS_S if has_webhooks else FREQUENCY_S
        watched = _watch(sandbox, folder, minutes, tail_s=max(frequency.values()) + 2 * EXTRA_S)
        for is_loaded in (False, True):
            sandbox.do(lambda loaded=is_loaded: _show(console, name, watched, sandbox.world, frequency, loaded))
        sandbox.do(lambda: sandbox.world.save(folder / "world.state"))
        _show_unfinished(console)
        yield


@contextmanager
def _webhooks(folder: Path) -> Iterator[None]:
    """Serve the webhook inbox and subscribe it at the sandbox."""
    for section in ("RETURNS", "WAREHOUSE"):
        os.environ[f"MARKETPLACE_RETURNS__SHOPS__{SHOP.upper()}__{section}__WEBHOOK_TOKEN"] = TOKEN
    port = _free_port()
    os.environ["MARKETPLACE_RETURNS__WEBHOOKS__PUBLIC_URL"] = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "marketplace_returns.cli.main", "webhooks"]
    with process([*command, "--port", str(port)], folder / "inbox.log"):
        time.sleep(8)
        subprocess.run([*command, "--subscribe"], check=True)
        yield


@contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block runs; then interrupt it as a terminal does."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True) as running:
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGINT)
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _watch(sandbox: RunningSandbox, folder: Path, minutes: float, tail_s: float) -> dict[str, Watched]:
    """Let people act at the sandbox, in the second half while a close and a backfill run; then wait for the last answers."""
    watched = {name: Watched() for name in FREQUENCY_S}
    skus: list[str] = []
    watched["stock pushed"].needs_none = lambda world, act: _is_right(world, skus[act])
    chance = random.Random(7)
    time.sleep(COMING_UP_S)
    start = time.monotonic()
    is_loaded = False
    while (spent := time.monotonic() - start) < minutes * 60:
        if not is_loaded and spent > minutes * 30:
            is_loaded = True
            _launch_load(folder)
        act_once(sandbox, watched, chance, skus, is_loaded=is_loaded)
        time.sleep(chance.uniform(3, 7))
    time.sleep(tail_s)
    return watched


def act_once(
    sandbox: RunningSandbox, watched: dict[str, Watched], chance: random.Random, skus: list[str], *, is_loaded: bool
) -> None:
    """Let somebody order, pack or send back; what is to be answered goes to ``watched``, items sent back to ``skus``."""
    act = chance.choices((_order, _despatch, partial(_inspect, skus=skus)), (3, 3, 2))[0]
    sandbox.do(lambda: act(sandbox.world, watched, chance, is_loaded))


def _is_right(world: World, sku: str) -> bool:
    """Tell whether an offer is as the sandbox's own truth wants it: a unit that was sold again at once needs no push."""
    checks = {check["name"]: check for check in examine(world)["checks"]}
    stock = checks["every offer shows what the warehouse has available"]
    wrong = {violation["reference"] for violation in stock["violations"]}
    return sku not in wrong and stock["violation_count"] == len(wrong)


def _launch_load(folder: Path) -> None:
    """Queue the month's close and a backfill of 30 days of orders, as an operator does."""
    today = datetime.now(UTC).date()
    base = [sys.executable, "-m", "dagster", "job", "launch", "-w", "workspace.yaml", "-l", "marketplace_returns"]
    month = (today.replace(day=1) - timedelta(days=1)).strftime("%Y-%m-01")
    days = {
        "dagster/asset_partition_range_start": str(today - timedelta(days=30)),
        "dagster/asset_partition_range_end": str(today - timedelta(days=1)),
        "dagster/priority": "-5",
        "lane": "slow",
    }
    jobs: dict[str, dict[str, Any]] = {
        f"{SHOP}_close": {"dagster/partition": month, "lane": "slow"},
        f"{SHOP}_poll_mirakl_orders": days,
        f"{SHOP}_poll_mirakl_transactions": days,
    }
    for job, tags in jobs.items():
        with (folder / "load.log").open("ab") as out:
            subprocess.Popen(
                [*base, "-j", job, "--tags", str(tags).replace("'", '"')], cwd=folder, stdout=out, stderr=out
            )


def _order(world: World, watched: dict[str, Watched], chance: random.Random, is_loaded: bool) -> None:
    """A customer orders."""
    del chance
    order = world.customers.order_now()
    if order is not None:
        watched["order accepted"].acts.append((world.clock.now(), lambda _: order.decided_at, is_loaded))


def _despatch(world: World, watched: dict[str, Watched], chance: random.Random, is_loaded: bool) -> None:
    """The warehouse packs an order that waits, whole."""
    waiting = [order for order in world.warehouse.sales_orders() if order.picking_planned]
    if not waiting:
        return
    chosen = chance.choice(waiting)
    world.warehouse.pick_now(chosen.number)
    order = world.marketplace.orders[chosen.number]
    if chosen.status == "Despatched":
        watched["despatch confirmed"].acts.append((world.clock.now(), lambda _: order.shipped_at, is_loaded))


def _inspect(
    world: World, watched: dict[str, Watched], chance: random.Random, is_loaded: bool, *, skus: list[str]
) -> None:
    """A parcel that is on its way arrives and is opened at once."""
    on_way = [one for one in world.returns.returns.values() if one.posted_at is not None and one.inspected_at is None]
    if not on_way:
        return
    chosen = chance.choice(on_way)
    now = world.clock.now()
    world.customers.inspect_now(chosen.id)
    for line in chosen.lines:
        if "new" not in chosen.outcomes[line.order_line_id]:
            continue
        line_id, sku = line.order_line_id, line.sku

        def refunded(world: World, line_id: str = line_id) -> datetime | None:
            made = [refund.created_at for refund in world.refunds.by_id.values() if refund.line_id == line_id]
            return min((at for at in made if at >= now), default=None)

        def pushed(world: World, sku: str = sku) -> datetime | None:
            files = world.offers.imports.values()
            return min(
                (file.created_at for file in files if file.created_at >= now and _names(file.rows, sku)), default=None
            )

        watched["refund sent"].acts.append((now, refunded, is_loaded))
        watched["stock pushed"].acts.append((now, pushed, is_loaded))
        skus.append(sku)


def _names(rows: list[list[str]], sku: str) -> bool:
    return any(row and row[0].strip() == sku for row in rows)


def _show_unfinished(console: Console) -> None:
    """Name the runs that did not succeed, or are still to end, and why."""
    with DagsterInstance.get() as instance:
        records = instance.get_run_records(
            RunsFilter(statuses=[each for each in DagsterRunStatus if each is not DagsterRunStatus.SUCCESS])
        )
        for record in records:
            run = record.dagster_run
            started = datetime.fromtimestamp(record.start_time, UTC).time() if record.start_time else None
            console.print(f"{run.status.value}: {run.job_name} {run.run_id[:8]}, begun {started}", markup=False)


def _show(
    console: Console,
    name: str,
    watched: dict[str, Watched],
    world: World,
    frequency: dict[str, float],
    is_loaded: bool,
) -> None:
    under = "while a close and a 30-day backfill run" if is_loaded else "alone"
    table = Table(title=f"Event to write, {name}, {under}", caption=machine())
    for column in ("what", "acts", "p50 s", "p95 s", "max s", "bound s", "unanswered"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, acts in watched.items():
        taken = acts.seconds(world, is_loaded=is_loaded)
        done = sorted(value for value in taken if value is not None)
        if len(done) < 2:
            table.add_row(
                what, str(len(taken)), "", "", "", f"{frequency[what] + EXTRA_S:.0f}", str(len(taken) - len(done))
            )
            continue
        cuts = statistics.quantiles(done, n=20, method="inclusive")
        table.add_row(
            what,
            str(len(taken)),
            f"{cuts[9]:.0f}",
            f"{cuts[18]:.0f}",
            f"{done[-1]:.0f}",
            f"{frequency[what] + EXTRA_S:.0f}",
            str(len(taken) - len(done)),
        )
    console.print(table)


if __name__ == "__main__":
    main()
