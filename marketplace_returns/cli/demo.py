"""``demo``: a whole month played through the sandbox over real HTTP, proven, and held against the sandbox's own truth."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from marketplace_returns.cli import serve as serving
from marketplace_returns.cli.context import month_of
from marketplace_returns.cli.demo_place import DEMO_CURRENCY, DEMO_SHOP, DemoPlace
from marketplace_returns.cli.month import is_proven, render_month, render_payouts
from marketplace_returns.cli.output import Output, amount, as_json_text, table
from marketplace_returns.cli.sandbox_process import SandboxProcess, sandbox_process
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.month import ClosedMonth, TableView, close, export_pack, views_of
from marketplace_returns.orchestration.sync import PassReport, run_pass
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.reconciliation.pack import WORKBOOK
from marketplace_returns.settings import load_settings

TAIL_DAYS: Final = 4
"""Days played after the month, so that its last payout is paid and its returns come in."""
SETTLING_PASSES_MAX: Final = 8
PASSES_A_LINE: Final = 7
"""Where no progress bar can be drawn, a line is printed every so many passes."""
PLATFORMS: Final = ("reveni",)
EXCEPTIONS_SHOWN: Final = 12


class PlayedClock(FixedClock):
    """The sandbox's time: it stands between two steps, and a wait really waits (for what the sandbox does meanwhile)."""

    def wait(self, seconds: float) -> None:
        """Sleep, but briefly: the sandbox is done with anything in a twentieth of a second."""
        time.sleep(min(seconds, 0.06))


@dataclass
class Played:
    """What playing the month came to."""

    passes: int = 0
    lanes: Counter[str] = field(default_factory=Counter)
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    second_pass_writes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def count(self, report: PassReport) -> None:
        """Add one pass."""
        self.passes += 1
        self.lanes.update({lane.lane: lane.new for lane in report.lanes})
        for (kind, state), number in report.sent.by_kind_and_state.items():
            self.writes[str(kind), str(state)] += number


def demo(
    orders: Annotated[int, typer.Option("--orders", min=20, max=20_000, help="Orders of the month.")] = 2100,
    month: Annotated[str, typer.Option("--month", help="The month that is played.")] = "2026-10",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same month.")] = 7,
    platform: Annotated[str, typer.Option("--platform", help="Returns platform: reveni.")] = "reveni",
    step_hours: Annotated[
        int, typer.Option("--step-hours", min=1, max=40, help="Hours of the sandbox between two passes.")
    ] = 36,
    plant: Annotated[
        str | None, typer.Option("--plant", help="Plant an anomaly before the close, such as wrong_refund.")
    ] = None,
    dagster: Annotated[
        bool, typer.Option("--dagster/--no-dagster", help="Materialise everything in Dagster too.")
    ] = True,
    serve: Annotated[bool, typer.Option("--serve", help="Leave the Dagster UI running at the end.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Play a whole month through the sandbox, prove it, and hold it against the sandbox's own truth."""
    if platform not in PLATFORMS:
        raise BadArgument(f"--platform {platform!r} is not played: use one of {', '.join(PLATFORMS)}")
    output = Output(as_json=as_json)
    played_month = month_of(month)
    place = DemoPlace()
    place.clear()
    arguments = ["--port", "0", "--clock", "virtual", "--seed", str(seed), "--orders", str(orders)]
    arguments += ["--start", played_month.first_day.isoformat(), "--days", str(played_month.last_day.day)]
    with sandbox_process([*arguments, "--state", str(place.state)]) as sandbox:
        place.write_config(sandbox.base_url)
        os.environ.update(place.environment())
        output.say(f"The sandbox serves {orders} orders of {month} at {sandbox.base_url}.")
        with _opened(sandbox) as (app, clock):
            played = _play(app, clock, sandbox, played_month, timedelta(hours=step_hours), output)
            planted = sandbox.plant(plant) if plant else None
            if planted:
                run_pass(app, DEMO_SHOP, run_id="demo-after-plant", everything=True)
            with _timed(played, "month-end"):
                closed = close(app, DEMO_SHOP, played_month, run_id="demo-close")
                pack = export_pack(app, [DEMO_SHOP], played_month, place.exports)
            payouts = views_of(app, closed)["payout_proof"]
            waiting = app.ledger.exceptions(shop=DEMO_SHOP)
        if dagster:
            output.say("Materialising everything in Dagster...")
            with _timed(played, "Dagster"):
                _materialise(played_month, PlayedClock(sandbox.now()))
        truth = sandbox.truth(grace_hours=0)
        sandbox.save(place.state)
    is_good = bool(truth["ok"]) and is_proven(closed) and played.second_pass_writes == 0
    document = {
        "month": month,
        "orders": orders,
        "passes": played.passes,
        "lanes": dict(played.lanes),
        "writes": {f"{kind}/{state}": number for (kind, state), number in sorted(played.writes.items())},
        "second_pass_writes": played.second_pass_writes,
        "exceptions": waiting,
        "checks": list(closed.checks),
        "codes": closed.result.codes,
        "pack": pack,
        "planted": planted,
        "truth": truth,
        "seconds": played.seconds,
        "ok": is_good,
    }
    output.show(document, lambda page: _render(page, played, closed, payouts, waiting, truth, place, planted))
    if serve:
        return serving.serve()
    return 0 if is_good else 1


@contextmanager
def _opened(sandbox: SandboxProcess) -> Iterator[tuple[App, PlayedClock]]:
    clock = PlayedClock(sandbox.now())
    app = App.open(load_settings(), clock)
    try:
        yield app, clock
    finally:
        app.close()


def _play(
    app: App, clock: PlayedClock, sandbox: SandboxProcess, month: Month, step: timedelta, output: Output
) -> Played:
    """Let the world live step by step with a pass after each, until the month's payout is paid; then pass until all is done."""
    played = Played()
    _, month_end = month_bounds(month, app.shop(DEMO_SHOP).time_zone)
    end = month_end + timedelta(days=TAIL_DAYS)
    first = clock.now()
    total = int((end - first) / step) + 1
    with _timed(played, "month through HTTP"), output.progress(f"{month}", total) as show:
        while clock.now() < end:
            reached = min(clock.now() + step, end)
            sandbox.advance_to(reached)
            clock.move_to(sandbox.now())
            say: Callable[[str], None] = lambda words: show(f"{clock.now():%d %b} {words}", played.passes)  # noqa: E731
            played.count(run_pass(app, DEMO_SHOP, run_id=f"demo-{played.passes}", on_progress=say))
            if played.passes % PASSES_A_LINE == 0 and not output.side.is_terminal:
                output.say(f"{clock.now():%Y-%m-%d}: {sum(played.writes.values()):,} writes so far")
        for _ in range(SETTLING_PASSES_MAX):
            sandbox.calls(reset=True)
            played.count(run_pass(app, DEMO_SHOP, run_id=f"demo-{played.passes}", everything=True))
            if not _writes(sandbox):
                break
    sandbox.calls(reset=True)
    with _timed(played, "second pass"):
        run_pass(app, DEMO_SHOP, run_id="demo-second", everything=True)
    played.second_pass_writes = _writes(sandbox)
    return played


def _writes(sandbox: SandboxProcess) -> int:
    """Return the writes the sandbox was sent since its counts were reset, signing in aside."""
    counted = sandbox.calls()["writes"]
    return sum(number for operations in counted.values() for number in operations.values())


def _materialise(month: Month, clock: PlayedClock) -> None:
    """Run Dagster in this process over the same data, so that its UI shows all of it."""
    from marketplace_returns.orchestration.play import materialise_everything  # noqa: PLC0415 - Dagster takes a second

    os.environ.setdefault("DAGSTER_HOME", str(Path.cwd()))
    materialise_everything(DEMO_SHOP, month, clock)


@contextmanager
def _timed(played: Played, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    played.seconds[what] = round(time.monotonic() - started, 1)


def _render(
    page: Console,
    played: Played,
    closed: ClosedMonth,
    payouts: TableView,
    waiting: list[OpenException],
    truth: dict[str, Any],
    place: DemoPlace,
    planted: dict[str, Any] | None,
) -> None:
    page.rule(f"{closed.result.month} through {played.passes} passes")
    page.print(
        table("Lanes: writes planned", ("lane", "writes"), sorted(played.lanes.items()), right=("writes",)),
        table(
            "Writes: where they ended",
            ("kind", "state", "count"),
            [(kind, state, number) for (kind, state), number in sorted(played.writes.items())],
            right=("count",),
        ),
    )
    _render_exceptions(page, waiting)
    render_month(page, DEMO_SHOP, closed)
    render_payouts(page, payouts, DEMO_CURRENCY)
    if planted:
        page.print(f"\nPlanted: {as_json_text(planted)}")
    page.print(
        table(
            "The sandbox's own truth",
            ("promise", "expected", "found", "broken", "verdict"),
            [
                (
                    check["name"].removesuffix(", minor units"),
                    _quantity(check, "expected"),
                    _quantity(check, "actual"),
                    check["violation_count"],
                    Text("kept", "green") if check["ok"] else Text("BROKEN", "red"),
                )
                for check in truth["checks"]
            ],
            right=("expected", "found", "broken"),
            wrap=("promise",),
        )
    )
    for check in truth["checks"]:
        for violation in check["violations"][:3]:
            page.print(f"  {check['name']}: {violation}")
    page.print(
        f"\nSecond pass over the same world: {played.second_pass_writes} writes sent.",
        f"Month-end pack: {place.exports} (workbook {place.exports / WORKBOOK}).",
        "Seconds: " + ", ".join(f"{what} {seconds:g}" for what, seconds in played.seconds.items()) + ".",
        "Next: make serve opens the Dagster UI on this data.",
        sep="\n",
    )


def _render_exceptions(page: Console, waiting: list[OpenException]) -> None:
    if not waiting:
        page.print("\nNo open exceptions.", style="bold")
        return
    by_owner = Counter((each.owner, each.type, each.severity) for each in waiting)
    page.print(
        table(
            f"Exceptions open: {len(waiting)}",
            ("what, whose", "count", "example"),
            [
                (f"{kind}\n{severity}, {owner}", number, next(each.message for each in waiting if each.type == kind))
                for (owner, kind, severity), number in by_owner.most_common(EXCEPTIONS_SHOWN)
            ],
            right=("count",),
            wrap=("example",),
        )
    )


def _quantity(check: dict[str, Any], key: str) -> str:
    number = check[key]
    return (
        amount(number, DEMO_CURRENCY) if "minor units" in check["name"] or "payout" in check["name"] else f"{number:,}"
    )
