"""Runs contestants, each in a process of its own, and shows them side by side.

Here: starting a contestant, its seconds and peak memory, the table. Not here: what is measured. The invariant: all
contestants of a table ran in one call on one machine, which the table names.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

CONTESTANT_TIME_OUT_S = 1800


@dataclass(frozen=True)
class Measured:
    """One contestant's run."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_mb: float
    rows: int


def run_contestant(module: str, name: str, *arguments: str) -> Measured:
    """Run ``python -m <module> <name> <arguments>`` and read what it measured from its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, name, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=CONTESTANT_TIME_OUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"contestant {name} of {module} failed:\n{done.stderr[-2000:]}")
    return Measured(name, **json.loads(done.stdout.splitlines()[-1]))


def best_of(repeats: int, module: str, names: tuple[str, ...], *arguments: str) -> list[Measured]:
    """Run all contestants in turn, ``repeats`` times over, and return each one's quickest run.

    Turns are interleaved, so that a neighbour's load on the machine meets all of them.
    """
    rounds = [[run_contestant(module, name, *arguments) for name in names] for _ in range(repeats)]
    return [min(runs, key=lambda run: run.seconds) for runs in zip(*rounds, strict=True)]


def measure(work: Callable[[], int]) -> None:
    """Run a contestant's work in this process and write seconds, processor time, peak memory and rows for ``run_contestant``."""
    started, on_processor = time.perf_counter(), time.process_time()
    rows = work()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - on_processor
    measured = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": _peak_mb(), "rows": rows}
    sys.stdout.write(json.dumps(measured) + "\n")


def _peak_mb() -> float:
    """Return this process's peak resident memory; getrusage would count what its parent had when it forked."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(console: Console, title: str, unit: str, runs: list[Measured], target: str) -> None:
    """Print a table: each contestant's seconds, memory and rate, and its time as a ratio to the first's.

    Processor time stands beside the seconds, for a machine with neighbours stretches these alone.
    """
    table = Table(title=title, caption=f"{machine()}. {target}")
    for column in ("contestant", "seconds", "CPU s", f"{unit}/s", "peak MB", "time / ours"):
        table.add_column(column, justify="left" if column == "contestant" else "right")
    ours = runs[0]
    for run in runs:
        table.add_row(
            run.name,
            f"{run.seconds:.2f}",
            f"{run.cpu_seconds:.2f}",
            f"{run.rows / run.seconds:,.0f}",
            f"{run.peak_mb:,.0f}",
            f"{run.seconds / ours.seconds:.2f}",
        )
    console.print(table)


def machine() -> str:
    """Name the machine: processor, cores, load while measuring, versions that matter."""
    processor = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        models = [
            line.partition(":")[2].strip()
            for line in cpu_info.read_text().splitlines()
            if line.startswith("model name")
        ]
        processor = models[0] if models else processor
    return f"{processor}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
