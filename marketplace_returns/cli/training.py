"""``training``: an installation on a sandbox in which troubles of every type are open, for people to practise on.

Here: making it, keeping it alive, its list of cases, and what somebody does in another system's back office. Not here: any trouble (the
sandbox makes them), any cure in the product (the trainee does that). The invariant: nothing of it reaches outside this machine or the folder.
"""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import httpx
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from marketplace_returns.cli.demo_place import DEMO_SHOP, DemoPlace
from marketplace_returns.cli.output import Output, table
from marketplace_returns.cli.sandbox_process import ANSWER_TIME_OUT_S, SandboxProcess, refuse_taken, sandbox_process
from marketplace_returns.cli.training_cases import Case, page
from marketplace_returns.cli.training_play import DAYS, play, watch_daily
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.clock import SystemClock
from marketplace_returns.errors import BadArgument, SourceUnreachable
from marketplace_returns.orchestration.app import App
from marketplace_returns.settings import load_settings

app = typer.Typer(help="Practise on a sandbox in which troubles are open.", no_args_is_help=True)

ORDERS: Final = 100
SEED: Final = 7
PORT_DEFAULT: Final = 8950
LIVES_EVERY_S: Final = 2.0
CASES, PAGE, VARIABLES = "cases.json", "cases.md", "env"
NONE_HERE: Final = "there is no training here: start it with `marketplace-returns training start`, from this folder"

PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the sandbox.")]


def place() -> DemoPlace:
    """Return where the training keeps its things: ``data/training``, with mapping tables to be changed."""
    return DemoPlace(Path("data/training"), has_own_mappings=True)


@app.command("start")
def start(port: PortOption = PORT_DEFAULT, as_json: JsonOption = False) -> int:
    """Make the training anew, open its troubles, and keep it alive until Ctrl-C."""
    output = Output(as_json=as_json)
    refuse_taken(port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop ends the sandbox too
    where = place()
    where.clear()
    now = SystemClock().now()
    with sandbox_process(arguments(port, now)) as sandbox:
        made = prepare(where, sandbox, now, output)
        output.show({"cases": made, "variables": where.folder / VARIABLES}, lambda screen: screen.print(_list(made)))
        output.page.file.flush()
        output.say(
            f"\nReady. In another terminal, in this folder: set -a; . {where.folder / VARIABLES}; set +a\n"
            f"A case with its steps: marketplace-returns training cases TYPE. All of them: {where.folder / PAGE}\n"
            "This terminal keeps the sandbox alive; Ctrl-C ends it."
        )
        try:
            while True:
                time.sleep(LIVES_EVERY_S)
                sandbox.advance_to(SystemClock().now())
        except KeyboardInterrupt:
            return 0


@app.command("cases")
def cases(
    lesson: Annotated[str, typer.Argument(metavar="[TYPE]", help="Only this case, with its steps.")] = "",
    as_json: JsonOption = False,
) -> int:
    """List the cases of the training as they are now, or show one with the steps that end it."""
    where = place()
    made = _kept(where)
    with _opened(where) as product:
        found = product.ledger.exceptions(shop=DEMO_SHOP)
    chosen = [case.as_it_is(found) for case in made if not lesson or case.type == lesson.upper()]
    if not chosen:
        raise BadArgument(f"'{lesson}' is no case here: `marketplace-returns training cases` lists them")

    def show(screen: Console) -> None:
        if lesson:
            _tell(screen, chosen[0])
        else:
            screen.print(_list(chosen))

    shown = [{**msgspec.to_builtins(case), "steps": case.told_steps} for case in chosen]
    Output(as_json=as_json).show({"cases": shown}, show)
    return 0


@app.command("daily")
def daily(as_json: JsonOption = False) -> int:
    """Look at the monitoring tables, as the schedules of a real installation do each day."""
    with _opened(place()) as product:
        watch_daily(product)
        count = len(product.ledger.exceptions(shop=DEMO_SHOP))

    def show(screen: Console) -> None:
        screen.print(f"Looked. {count} exceptions are open.")

    Output(as_json=as_json).show({"open": count}, show)
    return 0


@app.command("outside")
def outside(
    lesson: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the exception, such as ACK_OVERDUE.")],
    as_json: JsonOption = False,
) -> int:
    """Do what somebody does about a trouble in another system: its back office, its customer, its operator."""
    where = place()
    if not where.config.exists():
        raise BadArgument(NONE_HERE)
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


def arguments(port: int, now: datetime) -> list[str]:
    """Return how the training's sandbox is started: a small world that begins a few weeks ago."""
    first_day = (now - timedelta(days=DAYS)).date()
    given = ["--port", str(port), "--clock", "virtual", "--seed", str(SEED), "--orders", str(ORDERS)]
    return [*given, "--start", first_day.isoformat(), "--days", str(DAYS)]


def prepare(where: DemoPlace, sandbox: SandboxProcess, now: datetime, output: Output) -> list[Case]:
    """Play the training up to now, and keep its cases and the variables that a second terminal needs."""
    variables = where.environment({DEMO_SHOP: sandbox.settings})
    os.environ.update(variables)
    made = play(where, sandbox, now, output)
    (where.folder / CASES).write_bytes(msgspec.json.encode(made))
    (where.folder / PAGE).write_text(page(made), encoding="utf-8")
    # The secrets are the sandbox's, of use there only.
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    (where.folder / VARIABLES).write_text("".join(lines), encoding="utf-8")
    return made


@contextmanager
def _opened(where: DemoPlace) -> Iterator[App]:
    """Open the training, whatever installation the environment names."""
    if not where.config.exists():
        raise BadArgument(NONE_HERE)
    product = App.open(load_settings(where.config))
    try:
        yield product
    finally:
        product.close()


def _kept(where: DemoPlace) -> list[Case]:
    path = where.folder / CASES
    if not path.exists():
        raise BadArgument(NONE_HERE)
    return msgspec.json.decode(path.read_bytes(), type=list[Case])


def _list(made: Sequence[Case]) -> Table:
    rows = [(case.exception_id or "ended", case.type, case.owner, case.look_at) for case in made]
    return table(f"{len(made)} cases", ("id", "type", "owner", "look at"), rows, right=("id",), wrap=("look at",))


def _tell(screen: Console, case: Case) -> None:
    state = f"exception {case.exception_id}" if case.exception_id else "ended"
    screen.print(f"{case.type}, {case.owner}: {state}")
    screen.print(case.message)
    screen.print(f"Look at: {', '.join(f'{name} {value}' for name, value in case.about.items())}")
    screen.print(f"Playbook: {case.playbook}")
    for number, step in enumerate(case.told_steps, start=1):
        screen.print(f"{number}. {step}")
