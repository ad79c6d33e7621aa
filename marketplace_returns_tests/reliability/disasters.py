"""Disasters: something breaks under a pass that has writes in flight; it recovers or stops with one message, and then all agrees.

Here live the disasters, the run that is struck, the cure and the judge. Not here: the process that is struck
(disasters_worker.py). Invariant: the judge is the sandbox's records after passes to quiescence: its own verdict may find nothing
that it does not find after a run of the same world in which nothing happened, and nothing may be short or repeated.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock
from rich.console import Console

from marketplace_returns.cli.demo_play import writes_sent
from marketplace_returns.cli.sandbox_process import SandboxProcess
from marketplace_returns.ledger.connection import LEDGER_FILE
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.settings import Settings, Timing
from marketplace_returns_tests.orchestration.conftest import SHOP
from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.abuse.scene import Scene, Setting, StandingClock, world_of
from marketplace_returns_tests.reliability.disasters_worker import STRIKE, Order

LATER = timedelta(minutes=20)
"""How far the world lives on between the passes after the cure: an unclear write is looked at again by then."""

LIVING_PASSES = 4
"""So many passes come while the world lives on; the others over a world that stands."""

PASSES_MAX = 12
SLOW_S = 0.08
"""How long each write is held outside, so that there is something in flight to strike."""

START_WAIT_S = 90.0
WORKER_S_MAX = 600.0


@dataclass(frozen=True)
class Stage:
    """What a disaster may use: the sandbox's process, the installation's folder, and how long it is to last."""

    outside: Outside
    data: Path
    seconds: float


@dataclass(frozen=True)
class Disaster:
    """What happens, when, and to whom.

    ``when`` is ``pulling`` (the first read is counted) or ``sending`` (the first writes are); ``harm`` is what the worker does
    to itself; ``strike`` is what is done from outside and returns when it is over.
    """

    name: str
    what: str
    when: str
    strike: Callable[[Stage], None] = lambda _stage: None
    harm: str = ""


class Outside:
    """The sandbox as a process that may be stopped, restarted and frozen."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "world"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.control = SandboxProcess(self.base_url, {}, httpx.Client(timeout=120))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve the world of the state file."""
        command = [
            sys.executable,
            "-m",
            "marketplace_returns.sandbox",
            "--port",
            str(self.port),
            "--state",
            str(self.state),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_WAIT_S
        while True:
            try:
                self.control.now()
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End the process; it keeps its world."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)

    def freeze(self, seconds: float) -> None:
        """Let it answer nothing for a while; what came meanwhile is answered then."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def slow(self) -> None:
        """Hold every write a moment."""
        rule = {"kind": "slow", "writes_only": True, "delay_s": SLOW_S}
        httpx.post(f"{self.base_url}/sandbox/faults", json=rule, timeout=60).raise_for_status()

    def at_ease(self) -> None:
        """Hold nothing any more."""
        httpx.delete(f"{self.base_url}/sandbox/faults", timeout=60).raise_for_status()


# -- the disasters ----------------------------------------------------------------------------------------------------


def _lock_file(file: str) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        other = sqlite3.connect(stage.data / file, isolation_level=None, timeout=60)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(stage.seconds)
        other.execute("ROLLBACK")
        other.close()

    return strike


def _hold_turn(stage: Stage) -> None:
    with FileLock(stage.data / "lake" / "catalog.lock"):
        time.sleep(stage.seconds)


def _restart(stage: Stage) -> None:
    stage.outside.stop()
    time.sleep(stage.seconds / 20)
    stage.outside.start()


def _cut_off(stage: Stage) -> None:
    stage.outside.freeze(stage.seconds / 4)


def _gone(stage: Stage) -> None:
    stage.outside.stop()
    time.sleep(stage.seconds / 2)
    stage.outside.start()


DISASTERS = (
    Disaster("disk-full-pulling", "no file can grow any more while sources are read (lake)", "pulling", harm="disk"),
    Disaster(
        "disk-full-sending", "no file can grow any more while writes are in flight (ledger)", "sending", harm="disk"
    ),
    Disaster("lake-locked", "another process holds the lake's catalog", "pulling", _lock_file("lake/catalog.sqlite")),
    Disaster("lake-turn-held", "another writer of the lake does not give back its turn", "pulling", _hold_turn),
    Disaster(
        "ledger-locked",
        "another process holds the ledger while writes are in flight",
        "sending",
        _lock_file(LEDGER_FILE),
    ),
    Disaster("clock-back", "our clock jumps back an hour while writes are in flight", "sending", harm="clock"),
    Disaster("outside-restarted", "every outside system is restarted while writes are in flight", "sending", _restart),
    Disaster("network-gone", "nothing can be reached any more while writes are in flight", "sending", _gone),
    Disaster(
        "network-silent", "the network swallows everything for a while, and delivers it late", "sending", _cut_off
    ),
)


# -- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What became of a disaster."""

    disaster: Disaster
    exit_code: int = 0
    message: str = ""
    in_flight: int = 0
    passes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


@dataclass
class Ground:
    """The world and the installation that every disaster begins with."""

    settings: Settings
    kept: Path
    world: bytes
    folder: Path
    truth: dict[str, Any] = field(default_factory=dict)


@contextmanager
def ground(setting: Setting) -> Iterator[Ground]:
    """Play a shop to where much is due."""
    with Scene(setting) as scene, tempfile.TemporaryDirectory(prefix="disasters-") as folder:
        yield Ground(scene.settings, scene.folder / "kept", scene._world, Path(folder))


def play(ground: Ground, disaster: Disaster | None, *, seconds: float, busy_s: float) -> Result | dict[str, Any]:
    """Play one disaster; without one return the truth of a run in which nothing happens."""
    folder = ground.folder / (disaster.name if disaster else "calm")
    folder.mkdir()
    data = folder / "data"
    shutil.copytree(ground.kept, data)
    outside = Outside(folder)
    outside.state.write_bytes(ground.world)
    outside.start()
    settings = _pointed(ground.settings, outside.base_url, data)
    started = time.perf_counter()
    result = Result(disaster or DISASTERS[0])
    try:
        if disaster is None:
            _start(settings, outside, folder).communicate(timeout=WORKER_S_MAX)
        else:
            _struck(result, disaster, outside, settings, folder, seconds=seconds, busy_s=busy_s)
            (folder / STRIKE).unlink(missing_ok=True)
        outside.at_ease()
        result.passes = _to_quiescence(result, outside, settings)
        truth = outside.control.truth(grace_hours=0)
    finally:
        outside.stop()
    if disaster is None:
        return truth
    result.seconds = time.perf_counter() - started
    _judge(result, truth, ground.truth)
    shutil.rmtree(folder)
    return result


def _pointed(settings: Settings, base_url: str, data: Path) -> Settings:
    """Return the settings with the outside at another address, and a short patience with it."""
    shop = settings.shops[SHOP]
    assert shop.warehouse is not None
    old = shop.mirakl.base_url.removesuffix("/mirakl")
    changed = {
        name: part.model_copy(update={"base_url": part.base_url.replace(old, base_url)})
        for name, part in (("mirakl", shop.mirakl), ("returns", shop.returns), ("warehouse", shop.warehouse))
    }
    timing = Timing(connect_time_out_s=2, read_time_out_s=4)
    return settings.model_copy(
        update={"data_dir": data, "timing": timing, "shops": {SHOP: shop.model_copy(update=changed)}}
    )


def _start(
    settings: Settings, outside: Outside, folder: Path, *, harm: str = "", busy_s: float = 0.0
) -> subprocess.Popen[str]:
    order = folder / "order"
    order.write_bytes(pickle.dumps(Order(settings, outside.control.now(), folder, harm, busy_s)))
    return subprocess.Popen(
        [sys.executable, "-m", "marketplace_returns_tests.reliability.disasters_worker", str(order)],
        cwd=page.ROOT,
        env={**os.environ, "PYTHONPATH": str(page.ROOT), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _struck(
    result: Result,
    disaster: Disaster,
    outside: Outside,
    settings: Settings,
    folder: Path,
    *,
    seconds: float,
    busy_s: float,
) -> None:
    """Run a pass, strike it when it is where the disaster wants it, and note how it ended."""
    outside.slow()
    outside.control.calls(reset=True)
    worker = _start(settings, outside, folder, harm=disaster.harm, busy_s=busy_s)
    striking: threading.Thread | None = None
    deadline = time.monotonic() + WORKER_S_MAX
    while worker.poll() is None:
        counted = outside.control.calls()
        writes = sum(number for operations in counted["writes"].values() for number in operations.values())
        if writes >= 3 if disaster.when == "sending" else counted["total"] >= 2:
            result.in_flight = writes
            (folder / STRIKE).touch()
            striking = threading.Thread(target=disaster.strike, args=(Stage(outside, settings.data_dir, seconds),))
            striking.start()
            break
        if time.monotonic() > deadline:
            worker.kill()
        time.sleep(0.005)
    try:
        out, err = worker.communicate(timeout=WORKER_S_MAX)
    except subprocess.TimeoutExpired:
        worker.kill()
        out, err = worker.communicate()
        result.failures.append(f"the pass hung for {WORKER_S_MAX:.0f} s")
    if striking is None:
        result.failures.append(f"the pass was over before the disaster came: {err[-300:]}")
    else:
        striking.join()
    result.exit_code = worker.returncode
    lines = [line for line in err.strip().splitlines() if line.strip()]
    result.message = lines[-1] if lines and worker.returncode else ""
    if "Traceback" in err + out:
        result.failures.append(f"a traceback: {err[-1500:]}")
    elif worker.returncode not in {0, 1}:
        result.failures.append(f"the pass ended with {worker.returncode}: {err[-500:]}")
    elif len(lines) > 1 and worker.returncode and not out.strip():
        result.failures.append(f"more than one message: {err[-500:]}")


def _to_quiescence(result: Result, outside: Outside, settings: Settings) -> int:
    """Pass while the world lives on, so that what is unclear is looked at; then over the standing world until nothing is sent."""
    clock = StandingClock(outside.control.now())
    app = App.open(settings, clock)
    try:
        for number in range(1, PASSES_MAX + 1):
            if number <= LIVING_PASSES:
                outside.control.advance_to(outside.control.now() + LATER)
            clock.move_to(outside.control.now())
            outside.control.calls(reset=True)
            run_pass(app, SHOP, run_id=f"after-{number}", everything=True)
            if number > LIVING_PASSES and not writes_sent(outside.control):
                owned = {each.intent_id for each in app.ledger.exceptions(shop=SHOP) if each.owner}
                for each in app.ledger.intents(shop=SHOP, states=(State.SENDING, State.UNKNOWN)):
                    if each.intent_id not in owned:
                        result.failures.append(f"{each.kind} is {each.state} and nobody owns it: {each.last_error}")
                return number
    finally:
        app.close()
    result.failures.append(f"still writing after {PASSES_MAX} passes")
    return PASSES_MAX


def _judge(result: Result, truth: dict[str, Any], calm: dict[str, Any]) -> None:
    """Hold what is true now against the run in which nothing happened."""
    for check, as_calm in zip(truth["checks"], calm["checks"], strict=True):
        known = {str(each) for each in as_calm["violations"]}
        result.failures += [f"{check['name']}: {each}" for each in check["violations"] if str(each) not in known]
        short, as_calm_short = (each["expected"] - each["actual"] for each in (check, as_calm))
        if short > as_calm_short:
            result.failures.append(f"{check['name']}: {check['actual']} of {check['expected']} are done")
    for fact in ("accept_calls_repeated", "ship_calls_repeated"):
        if truth["facts"][fact] > calm["facts"][fact]:
            result.failures.append(f"{fact}: {truth['facts'][fact]}, and {calm['facts'][fact]} without the disaster")


_SECTION = """
## Disasters

Each strikes a pass (`marketplace-returns sync`, a process of its own) while its writes are in flight. The pass recovers by
itself (exit code 0, or 1 where a person has something to look at) or stops with one message. Then the cause is over, and passes
run until nothing is sent any more. The judge is the sandbox's records: nothing may be missing, doubled or repeated that is not so in
a run in which nothing happened.

{figures}

{disasters}

What the passes said that stopped:

{messages}
"""


def section(results: list[Result]) -> str:
    """Return the section of the page."""
    failed = sum(bool(each.failures) for each in results)
    rows = [
        (
            f"`{each.disaster.name}`",
            each.disaster.what,
            "stopped with its message" if each.message else "went on",
            each.exit_code,
            each.in_flight,
            each.passes,
            round(each.seconds),
        )
        for each in results
    ]
    head = ("disaster", "what happens", "the pass", "exit code", "writes sent before", "passes to quiescence", "s")
    # where a run's folder lies is of one machine
    messages = [
        (f"`{each.disaster.name}`", re.sub(r"(/[^\s/]+)+/data/", "data/", each.message))
        for each in results
        if each.message
    ]
    return _SECTION.format(
        figures=page.table(("what", "figure"), [("disasters", len(results)), ("**lost, doubled or unclear**", failed)]),
        disasters=page.table(head, rows),
        messages=page.table(("disaster", "message"), messages) if messages else "None stopped.",
    )


def main(words: list[str]) -> int:
    """Play all disasters, or one; return 1 where one did not hold. Only a whole run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability disasters", description=__doc__)
    parser.add_argument("--only", choices=[each.name for each in DISASTERS])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a lock is held (others: a share of it)")
    wanted = parser.parse_args(words)
    console = Console(soft_wrap=True, highlight=False)
    results = []
    with ground(Setting("disasters", world_of("reveni", orders=60))) as place:
        calm = play(place, None, seconds=0, busy_s=0)
        assert isinstance(calm, dict)
        place.truth = calm
        for each in DISASTERS:
            if wanted.only in {None, each.name}:
                result = play(place, each, seconds=wanted.seconds, busy_s=0)
                assert isinstance(result, Result)
                results.append(result)
                how = f"stopped: {result.message}" if result.message else "went on"
                console.print(f"{each.name}: {how}; {result.passes} passes, {result.seconds:.0f} s", markup=False)
                for failure in result.failures:
                    console.print(f"  {failure}", markup=False, style="red")
    if any(each.failures for each in results):
        return 1
    if not wanted.only:
        page.write("disasters", section(results))
        console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0
