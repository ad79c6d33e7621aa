"""One ``marketplace-returns sync`` in a process of its own, to which something may happen meanwhile.

Here live the process, its clock and what it does to itself at a sign from outside. Not here: what is judged (disasters.py).
Invariant: the command is the real one, with its own messages and exit codes; only its settings and its clock are handed in.
"""

from __future__ import annotations

import os
import pickle
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from marketplace_returns.lake.connection import Lake
from marketplace_returns.ledger import connection
from marketplace_returns.settings import Settings

STRIKE = "strike"
"""The file whose appearance is the sign."""


@dataclass(frozen=True)
class Order:
    """What a worker is to do: its settings, the instant its clock begins at, and what it does to itself at the sign."""

    settings: Settings
    start: datetime
    folder: Path
    harm: str = ""
    busy_s: float = 0.0
    """How long it waits for a lock; 0 leaves the usual time."""


class WorkerClock:
    """The world's time, going on with this machine's; ``jump`` is added to it."""

    def __init__(self, start: datetime) -> None:
        self._start, self._began = start, time.monotonic()
        self.jump = timedelta(0)

    def now(self) -> datetime:
        """Return the instant."""
        return self._start + timedelta(seconds=time.monotonic() - self._began) + self.jump

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


def _at_sign(order: Order, act: Callable[[], object]) -> None:
    def watch() -> None:
        while not (order.folder / STRIKE).exists():
            time.sleep(0.005)
        act()

    threading.Thread(target=watch, daemon=True).start()


def _fill_disk() -> None:
    """Let no file grow any more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def main() -> None:
    """Run the command; its exit code is the process's."""
    order: Order = pickle.loads(Path(sys.argv[1]).read_bytes())
    clock = WorkerClock(order.start)
    if order.busy_s:
        connection.BUSY_S = order.busy_s  # type: ignore[misc]
        Lake.open.__func__.__kwdefaults__["lock_wait_s"] = order.busy_s  # type: ignore[attr-defined]
    if order.harm == "disk":
        _at_sign(order, _fill_disk)
    elif order.harm == "clock":
        _at_sign(order, lambda: setattr(clock, "jump", timedelta(hours=-1)))
    from marketplace_returns.cli import context
    from marketplace_returns.cli.main import run
    from marketplace_returns.orchestration import app

    context.load_settings = lambda *_: order.settings  # type: ignore[assignment]
    app.SystemClock = lambda: clock  # type: ignore[misc,assignment]
    os.chdir(order.folder)
    sys.argv = ["marketplace-returns", "sync"]
    run()


if __name__ == "__main__":
    main()
