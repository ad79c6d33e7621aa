"""``sandbox``: the outside systems on this machine, for development."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from marketplace_returns.cli.context import day_of
from marketplace_returns.cli.sandbox_process import refuse_taken
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.sources.platforms import PLATFORMS

START_DEFAULT = "2026-10-01"


class FaultProfile(StrEnum):
    """How much goes wrong in the sandbox."""

    NONE = "none"
    LIGHT = "light"
    HEAVY = "heavy"


class WorldClock(StrEnum):
    """What moves the sandbox's time."""

    REAL = "real"
    VIRTUAL = "virtual"


def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to serve on; 0 picks a free one.")] = 8900,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same world.")] = 7,
    orders: Annotated[int, typer.Option("--orders", min=1, max=1_000_000, help="Orders that customers place.")] = 2000,
    faults: Annotated[FaultProfile, typer.Option("--faults", help="How much goes wrong.")] = FaultProfile.NONE,
    start: Annotated[str, typer.Option("--start", help="First day of the world.")] = START_DEFAULT,
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="Days on which orders are placed.")] = 31,
    platform: Annotated[str, typer.Option("--platform", help=f"Returns platform: {', '.join(PLATFORMS)}.")] = "reveni",
    clock: Annotated[
        WorldClock, typer.Option("--clock", help="Runs on by itself (real) or advances when told (virtual).")
    ] = WorldClock.REAL,
    state: Annotated[Path | None, typer.Option("--state", help="File to keep the world in between runs.")] = None,
    as_json: JsonOption = False,  # what it prints is one JSON document for people too: they copy from it
) -> int:
    """Serve the outside systems for development, and print the settings that point at them."""
    if platform not in PLATFORMS:
        raise BadArgument(f"--platform {platform!r} is not served: use one of {', '.join(PLATFORMS)}")
    first_day = day_of("--start", start)
    refuse_taken(port)
    arguments = ["--port", str(port), "--seed", str(seed), "--orders", str(orders), "--faults", faults]
    arguments += ["--start", first_day.isoformat(), "--days", str(days), "--clock", clock, "--platform", platform]
    if state is not None:
        arguments += ["--state", str(state)]
    # served in this process, so that what stops this command stops the sandbox too
    from marketplace_returns.sandbox.__main__ import main  # noqa: PLC0415 - the other commands do without a server

    return main(arguments)
