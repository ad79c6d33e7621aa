"""A process of its own that does pass after pass on an installation, until it is told to stop."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from multiprocessing.synchronize import Event

from marketplace_returns.cli.demo_play import PlayedClock
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.settings import Settings
from marketplace_returns_tests.orchestration.conftest import SHOP

STOP_S = 120


def work(settings: Settings, now: datetime, is_enough: Event) -> None:
    """Do passes; the outside stands still meanwhile."""
    with closing(App.open(settings, PlayedClock(now))) as app:
        number = 0
        while not is_enough.is_set():
            number += 1
            run_pass(app, SHOP, run_id=f"beside-{now:%m%d%H}-{number}", everything=True)


@contextmanager
def passing(settings: Settings, now: datetime) -> Iterator[None]:
    """Let another process work on the installation while the block runs; it ends its pass and must end well."""
    processes = multiprocessing.get_context("spawn")
    is_enough = processes.Event()
    worker = processes.Process(target=work, args=(settings, now, is_enough))
    worker.start()
    try:
        yield
        is_enough.set()
        worker.join(STOP_S)
        assert worker.exitcode == 0
    finally:
        if worker.is_alive():
            worker.kill()
            worker.join()
