"""``serve``: the Dagster UI on the current data, and the demo's sandbox beside it where the data is the demo's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

from marketplace_returns.cli.demo_place import DemoPlace
from marketplace_returns.cli.output import Output
from marketplace_returns.cli.sandbox_process import sandbox_process
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.settings import CONFIG_VARIABLE, load_settings

WORKSPACE: Final = Path("workspace.yaml")
STOP_TIME_OUT_S: Final = 30.0


def serve(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the Dagster UI.")] = 3000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Pages to look at only, such as for finance: nothing can be started there."),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Open the Dagster UI on the current data: the demo's where there is no configuration of yours."""
    output = Output(as_json=as_json)
    if not WORKSPACE.exists():
        raise BadArgument(f"there is no {WORKSPACE} here: start it from the project's folder")
    place = DemoPlace()
    if CONFIG_VARIABLE in os.environ or not place.shops:
        load_settings()
        return _dagster(host, port, output, read_only=read_only)
    with ExitStack() as stack:
        running = {
            shop: stack.enter_context(
                sandbox_process(["--port", "0", "--clock", "virtual", "--state", str(place.state(shop))])
            )
            for shop in place.shops
        }
        told = {shop: sandbox.settings for shop, sandbox in running.items()}
        place.write_config(told)
        os.environ.update(place.environment(told))
        addresses = ", ".join(sandbox.base_url for sandbox in running.values())
        output.say(f"The demo's sandbox goes on at {addresses}; settings in {place.config}.")
        return _dagster(host, port, output, read_only=read_only)


def _dagster(host: str, port: int, output: Output, *, read_only: bool) -> int:
    """Run Dagster's webserver and daemon until interrupted; only a webserver that starts nothing where it is ``read_only``."""
    home = Path.cwd()
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    (home / "data" / "dagster").mkdir(parents=True, exist_ok=True)
    url = f"http://{host}:{port}"
    output.say(f"The Dagster UI opens at {url} (stop with Ctrl-C).")
    output.show({"url": url}, lambda _: None)
    output.page.file.flush()
    program = ["dagster_webserver", "--read-only"] if read_only else ["dagster", "dev"]
    command = [sys.executable, "-m", *program, "-w", str(WORKSPACE), "-h", host, "-p", str(port)]
    # what Dagster says is a log: standard output holds the one document alone
    with subprocess.Popen(command, env=environment, stdout=sys.stderr) as process:  # noqa: S603 - dagster itself
        # a stop of this command is a stop of Dagster, which ends its own children
        signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIME_OUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
            return 0
