"""Threads that have a lake connection of their own, for the pages that need one.

The invariant: a connection to the lake is used by the thread that opened it and by no other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from marketplace_returns.clock import Clock
from marketplace_returns.console.page import Visit
from marketplace_returns.settings import Settings

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App

LAKE_THREADS: Final = 2


class LakeThreads:
    """A few threads, each with an installation of its own, opened at its first page and kept."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._pool = ThreadPoolExecutor(LAKE_THREADS, thread_name_prefix="console-lake")
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
        visit.opened = self._app()
        return work(visit)

    def _app(self) -> App:
        from marketplace_returns.orchestration.app import App  # noqa: PLC0415 - seconds that only these pages cost

        found: App | None = getattr(self._of_thread, "app", None)
        if found is None:
            found = App.open(self._settings, self._clock)
            self._of_thread.app = found
            self._opened.append(found)
        return found
