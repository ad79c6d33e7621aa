"""One of the processes that work at once: a worker, an evaluator of sensors, or a command line.

Here lives what a process does in its turn, until it is told to stop. Not here: what is judged (workers.py). Invariant: finding
the lake or the ledger busy is a turn that ends as it should; anything else that is raised ends the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from marketplace_returns.errors import LakeBusy, LedgerBusy
from marketplace_returns_tests.benchmarks.latency import SHOP

STOP = "stop"
"""The file whose appearance ends every process after its turn."""
DONE = "ended as told"
SENSORS = ("orders_waiting", "new_facts", "writes_due")
PAUSE_S = 2.0
MAY_END = (0, 1)
"""Exit codes of ``sync``: done, or done with critical exceptions open."""


def worker(number: int) -> Callable[[], str]:
    """Open the installation and pass, as a run does."""
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.orchestration.sync import run_pass
    from marketplace_returns.settings import load_settings

    turns = 0

    def turn() -> str:
        nonlocal turns
        turns += 1
        app = App.open(load_settings())
        try:
            run_pass(app, SHOP, run_id=f"worker-{number}-{turns}")
        finally:
            app.close()
        return "passed"

    return turn


def sensors(number: int) -> Callable[[], str]:
    """Evaluate each sensor, and run at once what it asks for."""
    import dagster as dg

    from marketplace_returns.definitions import defs

    del number
    instance = dg.DagsterInstance.get()
    cursors: dict[str, str | None] = {}

    def turn() -> str:
        started = 0
        for name in SENSORS:
            sensor = defs.resolve_sensor_def(f"{SHOP}_{name}")
            with dg.build_sensor_context(
                instance=instance, cursor=cursors.get(name), repository_def=defs.get_repository_def()
            ) as context:
                found = sensor.evaluate_tick(context)
            cursors[name] = found.cursor
            for request in found.run_requests or ():
                started += 1
                ran = defs.resolve_job_def(request.job_name or sensor.job_name).execute_in_process(
                    instance=instance,
                    partition_key=request.partition_key,
                    run_config=request.run_config,
                    tags=request.tags,
                    raise_on_error=False,
                )
                if not ran.success:
                    print(f"turn a run of {request.job_name or sensor.job_name} failed", flush=True)  # noqa: T201
        return f"evaluated, {'with' if started else 'without'} runs"

    return turn


def command(number: int) -> Callable[[], str]:
    """Call ``sync`` as a person does."""
    del number

    def turn() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "marketplace_returns.cli.main", "sync"], capture_output=True, text=True, check=False
        )
        if done.returncode not in MAY_END:
            if "busy" in done.stderr or "locked" in done.stderr:
                return "busy"
            raise RuntimeError(f"sync ended with {done.returncode}: {done.stderr[-500:]}")
        return f"synced, exit {done.returncode}"

    return turn


def main() -> None:
    """Take turns until told to stop."""
    warnings.simplefilter("ignore")
    role, number = sys.argv[1], int(sys.argv[2])
    turn = {"worker": worker, "sensors": sensors, "command": command}[role](number)
    while not Path(STOP).exists():
        try:
            said = turn()
        except (LakeBusy, LedgerBusy):
            said = "busy"
        print(f"turn {said}", flush=True)  # noqa: T201
        time.sleep(PAUSE_S)
    print(DONE, flush=True)  # noqa: T201
    os._exit(0)  # Dagster's threads are not waited for


if __name__ == "__main__":
    main()
