"""Group commit: the events of many requests in one transaction, each answered once it is durable.

Here: gathering, the one writing thread, and what a request waits for. Not here: HTTP, SQL. The invariants: ``keep``
returns only after the transaction that holds its event was committed; no more events wait than the bound.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from marketplace_returns.errors import LedgerBusy
from marketplace_returns.webhooks.events import Event
from marketplace_returns.webhooks.inbox import Inbox

LINGER_S: Final = 0.005
"""How long a group gathers before it is written: a commit costs about as much."""
GROUP_MAX: Final = 2_000
WAITING_MAX: Final = 20_000


class TooManyWaiting(Exception):
    """More events wait to be written than the bound: the sender is to come again later."""


class NotKept(Exception):
    """The database did not take the event; nothing was promised."""


class GroupWriter:
    """Writes events in groups from one thread; use it from one event loop, between ``start`` and ``stop``."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []
        self._something = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "webhooks-writer")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write what waits and end."""
        while self._waiting:
            await asyncio.sleep(LINGER_S)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown()

    @property
    def is_running(self) -> bool:
        """Whether events are being written."""
        return self._task is not None and not self._task.done()

    async def keep(self, event: Event) -> None:
        """Return once the event is durable; raises TooManyWaiting or NotKept."""
        if len(self._waiting) >= WAITING_MAX:
            raise TooManyWaiting
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, done))
        self._something.set()
        await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something.wait()
            await asyncio.sleep(LINGER_S)
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            if not self._waiting:
                self._something.clear()
            failure: Exception | None = None
            try:
                await loop.run_in_executor(self._thread, self._inbox.keep, [event for event, _ in group])
            except (LedgerBusy, SQLAlchemyError, OSError) as refused:
                failure = refused
            for _, done in group:
                if done.done():
                    continue  # its sender hung up
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(NotKept(type(failure).__name__))
