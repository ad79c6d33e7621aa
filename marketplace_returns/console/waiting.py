"""Pages that take the longer the larger the shop is: made in a thread of their own, while the browser asks again.

Here: what is being made, and the page that says so. Not here: any page. The invariants: nobody waits longer than ``PATIENCE_S`` for an
answer; a page is shown once, to the session that asked for it; such pages take no thread from those that look orders up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from marketplace_returns.clock import Clock
from marketplace_returns.console.lake_threads import LakeThreads
from marketplace_returns.console.page import Visit

PATIENCE_S: Final = 0.25
ASKS_AGAIN_S: Final = 1
GONE_AFTER_S: Final = 30.0
"""Nobody waits any more for a page that was not asked for so long, and it would be of then, not of now."""


@dataclass
class _Made:
    """A page that is being made, or is there and was not fetched yet."""

    address: str
    task: asyncio.Task[Response]
    asked_at: float


class Waiting:
    """The pages that are being made, one a session at most; used on the event loop alone."""

    def __init__(self, clock: Clock) -> None:
        self._threads = LakeThreads(clock, threads=1)
        self._made: dict[str, _Made] = {}

    def close(self) -> None:
        """Wait for what is being made."""
        self._threads.close()

    async def answer(self, visit: Visit, work: Callable[[Visit], Response]) -> Response:
        """Return the page if it is made soon, else one that asks for it again by itself; raises what the page raised."""
        now = asyncio.get_running_loop().time()
        for session, made in list(self._made.items()):
            if now - made.asked_at > GONE_AFTER_S or (session == visit.session and made.address != visit.url):
                self.forget(session)
        if visit.session not in self._made:
            task = asyncio.create_task(self._threads.run(visit, work))
            self._made[visit.session] = _Made(visit.url, task, now)
        made = self._made[visit.session]
        made.asked_at = now
        await asyncio.wait({made.task}, timeout=PATIENCE_S)
        if made.task.done() and not made.task.cancelled():
            if self._made.get(visit.session) is made:
                del self._made[visit.session]
            return made.task.result()
        response = visit.render("waiting.html", asks_again_s=ASKS_AGAIN_S)
        response.headers["Refresh"] = str(ASKS_AGAIN_S)
        return response

    def forget(self, session: str) -> None:
        """Let what is made for a session be made anew when it is asked for: something was done since."""
        made = self._made.pop(session, None)
        if made is not None:
            made.task.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # what it raised is nobody's now
            made.task.cancel()
