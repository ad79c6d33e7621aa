"""``demo``: a whole month played through the sandbox over real HTTP, proven, and held against the sandbox's own truth."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from marketplace_returns.cli import serve as serving
from marketplace_returns.cli.context import month_of
from marketplace_returns.cli.demo_place import DemoPlace
from marketplace_returns.cli.demo_play import Played, PlayedClock, judge, play_side_by_side, sandboxes, shops_of
from marketplace_returns.cli.month import is_proven, render_month, render_payouts
from marketplace_returns.cli.output import Output, amount, as_json_text, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.month import export_pack
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.pack import WORKBOOK
from marketplace_returns.settings import load_settings
from marketplace_returns.sources.platforms import PLATFORMS

ALL: Final = "all"
EXCEPTIONS_SHOWN: Final = 12


def demo(
    orders: Annotated[int, typer.Option("--orders", min=20, max=20_000, help="Orders of the month.")] = 2040,
    month: Annotated[str, typer.Option("--month", help="The month that is played.")] = "2026-10",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same month.")] = 7,
    platform: Annotated[
        str,
        typer.Option(
            "--platform", help=f"Returns platform: {', '.join(PLATFORMS)}, or {ALL}: a shop for each, side by side."
        ),
    ] = "reveni",
    step_hours: Annotated[
        int, typer.Option("--step-hours", min=1, max=47, help="Hours of the sandbox between two passes.")
    ] = 46,
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
    if platform not in {*PLATFORMS, ALL}:
        raise BadArgument(f"--platform {platform!r} is not played: use one of {', '.join((*PLATFORMS, ALL))}")
    output = Output(as_json=as_json)
    played_month = month_of(month)
    place = DemoPlace()
    place.clear()
    seconds: dict[str, float] = {}
    with (
        sandboxes(place, shops_of(platform), played_month, orders, seed) as running,
        # Dagster runs in a process of its own: it loads while the month is played, and works while the pack is written.
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as side,
    ):
        told = {shop: sandbox.settings for shop, sandbox in running.items()}
        place.write_config(told)
        os.environ.update(place.environment(told))
        os.environ.setdefault("DAGSTER_HOME", str(Path.cwd()))
        if dagster:
            side.submit(_load_dagster)
        addresses = ", ".join(sandbox.base_url for sandbox in running.values())
        output.say(f"The sandbox serves {orders} orders of {month} at {addresses}.")
        settings = load_settings()
        with _timed(seconds, "month through HTTP and its close"):
            shops = play_side_by_side(settings, running, played_month, timedelta(hours=step_hours), output, plant)
        now_of = {shop: sandbox.now() for shop, sandbox in running.items()}
        if dagster:
            output.say("Materialising everything in Dagster...")
        with _timed(seconds, "pack and Dagster" if dagster else "pack"):
            materialised = side.submit(_materialise, now_of, played_month) if dagster else None
            app = App.open(settings, PlayedClock(next(iter(now_of.values()))))
            try:
                pack = export_pack(app, list(running), played_month, place.exports)
            finally:
                app.close()
            if materialised is not None:
                materialised.result()
        judge(shops, running, place)
    is_good = all(_is_good(played) for played in shops)
    document = {
        "month": month,
        "orders": orders,
        "shops": {played.shop: _document(played) for played in shops},
        "pack": pack,
        "seconds": seconds,
        "ok": is_good,
    }
    output.show(document, lambda page: _render(page, shops, place, seconds))
    if serve:
        return serving.serve()
    return 0 if is_good else 1


def _is_good(played: Played) -> bool:
    """Tell whether a shop kept every promise, proved its payouts, and sent nothing twice."""
    return (
        bool(played.truth["ok"])
        and played.closed is not None
        and is_proven(played.closed)
        and played.second_pass_writes == 0
    )


def _document(played: Played) -> dict[str, Any]:
    return {
        "passes": played.passes,
        "lanes": dict(played.lanes),
        "writes": {f"{kind}/{state}": number for (kind, state), number in sorted(played.writes.items())},
        "second_pass_writes": played.second_pass_writes,
        "exceptions": played.waiting,
        "checks": list(played.closed.checks) if played.closed else [],
        "codes": played.closed.result.codes if played.closed else {},
        "planted": played.planted,
        "truth": played.truth,
        "ok": _is_good(played),
    }


def _load_dagster() -> None:
    """Import what takes Dagster seconds to import."""
    from marketplace_returns.orchestration import play  # noqa: F401, PLC0415 - in the process that needs it


def _materialise(now_of: Mapping[str, datetime], month: Month) -> None:
    """Run Dagster over the data of every shop, at its sandbox's time, so that its UI shows all of it."""
    from marketplace_returns.orchestration.play import materialise_everything  # noqa: PLC0415 - in the process that needs it

    for shop, now in now_of.items():
        materialise_everything(shop, month, PlayedClock(now))


@contextmanager
def _timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[what] = round(time.monotonic() - started, 1)


def _render(page: Console, shops: list[Played], place: DemoPlace, seconds: dict[str, float]) -> None:
    for played in shops:
        _render_shop(page, played)
    page.print()
    for played in shops:
        page.print(f"Second pass of {played.shop} over the same world: {played.second_pass_writes} writes sent.")
    page.print(
        f"Month-end pack: {place.exports} (workbook {place.exports / WORKBOOK}).",
        "Seconds: " + ", ".join(f"{what} {spent:g}" for what, spent in seconds.items()) + ".",
        "Next: make serve opens the Dagster UI on this data.",
        sep="\n",
    )


def _render_shop(page: Console, played: Played) -> None:
    closed = played.closed
    assert closed is not None  # noqa: S101 - a shop that was not closed raised
    page.rule(f"{played.shop}: {closed.result.month} through {played.passes} passes")
    page.print(
        table("Lanes: writes planned", ("lane", "writes"), sorted(played.lanes.items()), right=("writes",)),
        table(
            "Writes: where they ended",
            ("kind", "state", "count"),
            [(kind, state, number) for (kind, state), number in sorted(played.writes.items())],
            right=("count",),
        ),
    )
    _render_exceptions(page, played.waiting)
    render_month(page, played.shop, closed)
    if played.payouts is not None:
        render_payouts(page, played.payouts, played.currency)
    if played.planted:
        page.print(f"\nPlanted: {as_json_text(played.planted)}")
    page.print(
        table(
            "The sandbox's own truth",
            ("promise", "expected", "found", "broken", "verdict"),
            [
                (
                    check["name"].removesuffix(", minor units"),
                    _quantity(check, "expected", played.currency),
                    _quantity(check, "actual", played.currency),
                    check["violation_count"],
                    Text("kept", "green") if check["ok"] else Text("BROKEN", "red"),
                )
                for check in played.truth["checks"]
            ],
            right=("expected", "found", "broken"),
            wrap=("promise",),
        )
    )
    for check in played.truth["checks"]:
        for violation in check["violations"][:3]:
            page.print(f"  {check['name']}: {violation}")


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


def _quantity(check: dict[str, Any], key: str, currency: str) -> str:
    number = check[key]
    return amount(number, currency) if "minor units" in check["name"] or "payout" in check["name"] else f"{number:,}"
