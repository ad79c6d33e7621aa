"""``training``: an installation on a sandbox in which troubles are open, for people to practise on.

Here: making it, keeping it alive, and what somebody does in another system's back office. Not here: any trouble (the sandbox makes
them), any cure in the product (the trainee does that). The invariant: nothing of it reaches outside this machine or the folder.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console

from marketplace_returns.cli.demo_place import DEMO_SHOP, DemoPlace
from marketplace_returns.cli.demo_play import PlayedClock
from marketplace_returns.cli.output import Output
from marketplace_returns.cli.sandbox_process import ANSWER_TIME_OUT_S, SandboxProcess, sandbox_process
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.clock import SystemClock
from marketplace_returns.errors import BadArgument, SourceUnreachable
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.month import close
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.periods import month_of
from marketplace_returns.settings import load_settings

app = typer.Typer(help="Practise on a sandbox in which troubles are open.", no_args_is_help=True)

DAYS: Final = 24
"""Long enough for returns in every stage at the end."""
STEP: Final = timedelta(hours=40)
ORDERS: Final = 100
SEED: Final = 7
PORT_DEFAULT: Final = 8950
LIVES_EVERY_S: Final = 2.0
ACCEPT_ABOVE: Final = "150.00"

PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the sandbox.")]


def place() -> DemoPlace:
    """Return where the training keeps its things: ``data/training``, with mapping tables to be changed."""
    return DemoPlace(Path("data/training"), has_own_mappings=True)


@app.command("start")
def start(port: PortOption = PORT_DEFAULT) -> int:
    """Make the training anew, open its troubles, and keep it alive until Ctrl-C."""
    output = Output(as_json=False)
    _refuse_taken(port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop ends the sandbox too
    where = place()
    where.clear()
    now = SystemClock().now()
    with sandbox_process(arguments(port, now)) as sandbox:
        environment = prepare(where, sandbox, now, output)
        output.say(
            f"Ready. In another terminal, in this folder: set -a; . {environment}; set +a\n"
            "Then begin with: marketplace-returns exceptions list\nThis terminal keeps the sandbox alive; Ctrl-C ends it."
        )
        try:
            while True:
                time.sleep(LIVES_EVERY_S)
                sandbox.advance_to(SystemClock().now())
        except KeyboardInterrupt:
            return 0


@app.command("outside")
def outside(
    lesson: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the exception, such as ACK_OVERDUE.")],
    as_json: JsonOption = False,
) -> int:
    """Do what somebody does about a trouble in another system: its back office, its customer, its operator."""
    where = place()
    if not where.config.exists():
        raise BadArgument(
            "there is no training here: start it with `marketplace-returns training start`, from this folder"
        )
    base_url = load_settings(where.config).shop(DEMO_SHOP).mirakl.base_url.removesuffix("/mirakl")
    try:
        with httpx.Client(timeout=ANSWER_TIME_OUT_S) as http:
            done = SandboxProcess(base_url, {}, http).do_outside(lesson.upper())
    except httpx.ConnectError:
        raise SourceUnreachable(
            f"the training does not answer at {base_url}: start it with `marketplace-returns training start`",
            system="sandbox",
            operation="lesson",
        ) from None

    def show(page: Console) -> None:
        page.print(f"Done: {done}. The next pass sees it: marketplace-returns sync")

    Output(as_json=as_json).show({"lesson": lesson.upper(), "done": done}, show)
    return 0


def _refuse_taken(port: int) -> None:
    with closing(socket.socket()) as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise BadArgument(f"--port {port} is taken, perhaps by another training: stop that, or give another port")


def arguments(port: int, now: datetime) -> list[str]:
    """Return how the training's sandbox is started: a small world that begins a few weeks ago."""
    first_day = (now - timedelta(days=DAYS)).date()
    given = ["--port", str(port), "--clock", "virtual", "--seed", str(SEED), "--orders", str(ORDERS)]
    return [*given, "--start", first_day.isoformat(), "--days", str(DAYS)]


def prepare(where: DemoPlace, sandbox: SandboxProcess, now: datetime, output: Output) -> Path:
    """Play the days up to now, cause every trouble there is, and let the product find them; return the file of variables."""
    where.write_config({DEMO_SHOP: sandbox.settings})
    os.environ.update(where.environment({DEMO_SHOP: sandbox.settings}))
    clock = PlayedClock(sandbox.now())
    opened = App.open(load_settings(), clock)
    try:
        with output.progress("training", timedelta(days=DAYS) // STEP + 2) as show:
            steps = -((clock.now() - now) // STEP)
            for number in range(steps):
                instant = now - STEP * (steps - 1 - number)
                show(f"{instant:%d %b}", number)
                sandbox.advance_to(instant)
                clock.move_to(sandbox.now())
                run_pass(opened, DEMO_SHOP, run_id=f"training-{number}", everything=True)
            run_pass(opened, DEMO_SHOP, run_id="training-settled", everything=True)
    finally:
        opened.close()
    where.write_config({DEMO_SHOP: _training_settings(sandbox.settings)})
    lessons = sandbox.lessons()
    for lesson in lessons:
        sandbox.cause(lesson)
    opened = App.open(load_settings(), clock)
    try:
        run_pass(opened, DEMO_SHOP, run_id="training-troubles", everything=True)
        close(opened, DEMO_SHOP, month_of(now, opened.shop(DEMO_SHOP).time_zone), run_id="training-month")
        types = {each.type for each in opened.ledger.exceptions()}
    finally:
        opened.close()
    missing = [lesson for lesson in lessons if lesson not in types]
    if missing:
        raise BadArgument(f"the training could not be made: {', '.join(missing)} did not open; start it again")
    output.say(f"Open for practice: {', '.join(sorted(types))}.")
    return _write_environment(where, sandbox)


def _training_settings(told: Any) -> dict[str, Any]:
    shop = dict(told["shop"])
    policy = {**shop["policy"], "accept": "manual_above_value", "accept_value_above": ACCEPT_ABOVE}
    return {**told, "shop": {**shop, "policy": policy}}


def _write_environment(where: DemoPlace, sandbox: SandboxProcess) -> Path:
    """Write the variables that a shell needs to work on the training; the secrets are the sandbox's, of use there only."""
    path = where.folder / "env"
    variables = where.environment({DEMO_SHOP: sandbox.settings})
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()), encoding="utf-8")
    return path
