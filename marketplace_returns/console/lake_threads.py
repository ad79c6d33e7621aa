"""Threads that have an installation of their own, with its lake connection, for the pages that need one.

The invariant: a connection to the lake is used by the thread that opened it and by no other; no page works on settings, mappings or
holds of yesterday: when one of them changed, the thread opens anew.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from marketplace_returns.clock import Clock
from marketplace_returns.console.page import Visit

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App

LAKE_THREADS: Final = 2


class LakeThreads:
    """A few threads, each with an installation of its own, opened at its first page and kept."""

    def __init__(self, clock: Clock, threads: int = LAKE_THREADS) -> None:
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="console-lake")
        self._of_thread = threading.local()
        self._opened: list[App] = []

    async def run(self, visit: Visit, work: Callable[[Visit], Response]) -> Response:
        """Let a page work in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._work, visit, work)

    def close(self) -> None:
        """Wait for what is at work, then close every connection."""
        self._pool.shutdown()
        for app in self._opened:
            app.close()

    def _work(self, visit: Visit, work: Callable[[Visit], Response]) -> Response:
        from marketplace_returns.orchestration.app import App  # noqa: PLC0415 - seconds that only these pages cost

        stands_on = self._state(visit)
        app: App | None = getattr(self._of_thread, "app", None)
        if app is None or self._of_thread.stands_on != stands_on:
            if app is not None:
                self._opened.remove(app)
                self._of_thread.app = None
                app.close()
            app = App.open(visit.settings, self._clock)
            self._opened.append(app)
            self._of_thread.app, self._of_thread.stands_on = app, stands_on
        visit.opened = app
        return work(visit)

    def _state(self, visit: Visit) -> tuple[Any, ...]:
        """Return what an opened installation stands on, as it is now: settings, mapping tables, writes held back."""
        found = [(file, file.stat()) for file in sorted(visit.settings.mappings_dir.glob("*.csv"))]
        tables = tuple((file.name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for file, stat in found)
        return visit.settings, tables, tuple(sorted(visit.ledger.held_modes().items()))
