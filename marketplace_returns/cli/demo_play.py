"""Playing a month: a shop's world lives on step by step, with a pass of ours after each.

Here: the steps, what they came to, and several shops side by side, each with its own sandbox, installation and thread on
the one lake and ledger. Not here: what is shown of it. The invariant: a shop's clock is its sandbox's, and stands between
two steps.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from marketplace_returns.cli.demo_place import DEMO_SHOP, DemoPlace
from marketplace_returns.cli.output import Output
from marketplace_returns.cli.sandbox_process import SandboxProcess, sandbox_process
from marketplace_returns.clock import FixedClock
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.month import ClosedMonth, TableView, close, view_of
from marketplace_returns.orchestration.sync import PassReport, run_pass
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.settings import Settings
from marketplace_returns.sources.platforms import PLATFORMS

TAIL_DAYS: Final = 4
"""Days played after the month, so that its last payout is paid and its returns come in."""
SETTLING_PASSES_MAX: Final = 8
PASSES_A_LINE: Final = 7
"""Where no progress bar can be drawn, a line is printed every so many passes."""
FIRST_SHOP_ID: Final = 2001


class PlayedClock(FixedClock):
    """The sandbox's time: it stands between two steps, and a wait really waits (for what the sandbox does meanwhile)."""

    def wait(self, seconds: float) -> None:
        """Sleep, but briefly: the sandbox is done with anything in a twentieth of a second."""
        time.sleep(min(seconds, 0.06))


@dataclass
class Played:
    """What playing a shop's month came to."""

    shop: str
    currency: str
    passes: int = 0
    lanes: Counter[str] = field(default_factory=Counter)
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    second_pass_writes: int = 0
    planted: dict[str, Any] | None = None
    closed: ClosedMonth | None = None
    payouts: TableView | None = None
    waiting: list[OpenException] = field(default_factory=list)
    truth: dict[str, Any] = field(default_factory=dict)

    def count(self, report: PassReport) -> None:
        """Add one pass."""
        self.passes += 1
        self.lanes.update({lane.lane: lane.new for lane in report.lanes})
        for (kind, state), number in report.sent.by_kind_and_state.items():
            self.writes[str(kind), str(state)] += number


def shops_of(platform: str) -> dict[str, str]:
    """Return the shops that are played for ``--platform``, and the returns platform of each."""
    return {f"asos_{name}": name for name in PLATFORMS} if platform == "all" else {DEMO_SHOP: platform}


@contextmanager
def sandboxes(
    place: DemoPlace, shops: Mapping[str, str], month: Month, orders: int, seed: int
) -> Iterator[dict[str, SandboxProcess]]:
    """Run a sandbox for each shop while the block runs: its own process, world, seller account and share of the orders."""
    with ExitStack() as stack:
        running = {}
        for number, (shop, platform) in enumerate(shops.items()):
            arguments = ["--port", "0", "--clock", "virtual", "--seed", str(seed + number)]
            arguments += ["--orders", str(-(-orders // len(shops))), "--platform", platform]
            arguments += ["--shop-id", str(FIRST_SHOP_ID + number), "--state", str(place.state(shop))]
            arguments += ["--start", month.first_day.isoformat(), "--days", str(month.last_day.day)]
            running[shop] = stack.enter_context(sandbox_process(arguments))
        yield running


def play_side_by_side(
    settings: Settings,
    running: Mapping[str, SandboxProcess],
    month: Month,
    step: timedelta,
    output: Output,
    plant: str | None,
) -> list[Played]:
    """Play the month of every shop at once and close it; the order is that of the shops.

    Raises:
        MarketplaceReturnsError: of the first shop that met one; the others are played to their end first.
    """
    total = sum(_steps(sandbox, month, step, settings.shop(shop).time_zone) for shop, sandbox in running.items())
    with output.progress(str(month), total) as show, ThreadPoolExecutor(len(running)) as pool:
        done = _Progress(show, output, is_one=len(running) == 1)
        plays = [
            pool.submit(_play_shop, settings, shop, sandbox, month, step, done, plant)
            for shop, sandbox in running.items()
        ]
        return [play.result() for play in plays]


class _Progress:
    """One bar for all shops."""

    def __init__(self, show: Callable[[str, int | None], None], output: Output, *, is_one: bool) -> None:
        self._show, self._output, self._is_one = show, output, is_one
        self._passes = 0
        self._lock = threading.Lock()

    def step(self, shop: str, words: str) -> None:
        self._show(words if self._is_one else f"{shop} {words}", self._passes)

    def passed(self, played: Played, day: str) -> None:
        with self._lock:
            self._passes += 1
        if played.passes % PASSES_A_LINE == 0 and not self._output.side.is_terminal:
            self._output.say(f"{played.shop} {day}: {sum(played.writes.values()):,} writes so far")


def _steps(sandbox: SandboxProcess, month: Month, step: timedelta, time_zone: str) -> int:
    return int((month_bounds(month, time_zone)[1] + timedelta(days=TAIL_DAYS) - sandbox.now()) / step) + 1


def _play_shop(
    settings: Settings,
    shop: str,
    sandbox: SandboxProcess,
    month: Month,
    step: timedelta,
    done: _Progress,
    plant: str | None,
) -> Played:
    """Play a shop's month until its payout is paid, then pass until nothing is left to do, then close it."""
    clock = PlayedClock(sandbox.now())
    app = App.open(settings, clock)
    try:
        played = Played(shop, app.shop(shop).currency)
        end = month_bounds(month, app.shop(shop).time_zone)[1] + timedelta(days=TAIL_DAYS)
        while clock.now() < end:
            sandbox.advance_to(min(clock.now() + step, end))
            clock.move_to(sandbox.now())
            day = f"{clock.now():%d %b}"
            heard: Callable[[str], None] = lambda words, day=day: done.step(shop, f"{day} {words}")  # type: ignore[misc]  # noqa: E731
            # What a pass wrote shows in the polls of the next one; the last of the steps is followed by passes that look again.
            report = run_pass(
                app,
                shop,
                run_id=f"demo-{shop}-{played.passes}",
                everything=clock.now() >= end,
                verify=False,
                on_progress=heard,
            )
            played.count(report)
            done.passed(played, day)
        _settle(app, shop, sandbox, played)
        if plant:
            played.planted = sandbox.plant(plant)
            run_pass(app, shop, run_id=f"demo-{shop}-after-plant", everything=True)
        done.step(shop, "month-end")
        played.closed = close(app, shop, month, run_id=f"demo-{shop}-close")
        played.payouts = view_of(app, played.closed, "payout_proof")
        played.waiting = app.ledger.exceptions(shop=shop)
    finally:
        app.close()
    return played


def _settle(app: App, shop: str, sandbox: SandboxProcess, played: Played) -> None:
    """Pass over the same world until a pass sends nothing; keeps what the last one sent."""
    for _ in range(SETTLING_PASSES_MAX):
        sandbox.calls(reset=True)
        played.count(run_pass(app, shop, run_id=f"demo-{shop}-{played.passes}", everything=True))
        played.second_pass_writes = writes_sent(sandbox)
        if not played.second_pass_writes:
            return


def writes_sent(sandbox: SandboxProcess) -> int:
    """Return the writes the sandbox was sent since its counts were reset, signing in aside."""
    counted = sandbox.calls()["writes"]
    return sum(number for operations in counted.values() for number in operations.values())


def judge(shops: Sequence[Played], running: Mapping[str, SandboxProcess], place: DemoPlace) -> None:
    """Ask every sandbox for its own truth, and keep its world."""
    for played in shops:
        sandbox = running[played.shop]
        played.truth = sandbox.truth(grace_hours=0)
        sandbox.save(place.state(played.shop))
