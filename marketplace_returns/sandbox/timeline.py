"""The world's clock, its agenda, and its sources of chance and ids.

Here: time that moves only forward and only when told (or with the wall clock in real mode), a queue of due events, and random
numbers and ids derived from the seed by name. Not here: what the events do. Invariant: events run in time order, each once;
no draw depends on the order in which clients call.
"""

from __future__ import annotations

import heapq
import random
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any


class Clock:
    """The world's present instant (aware UTC); read with now(), moved only by Timeline."""

    __slots__ = ("_now",)

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The present instant of the world, aware UTC."""
        return self._now

    def set(self, instant: datetime) -> None:
        """Move forward to `instant`; an earlier one is refused with ValueError."""
        if instant < self._now:
            raise ValueError(
                f"the sandbox clock stands at {self._now.isoformat()} and cannot go back to {instant.isoformat()}"
            )
        self._now = instant


class Timeline:
    """The agenda: what is due when."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._agenda: list[tuple[datetime, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0

    def at(self, instant: datetime, action: Callable[..., None], *arguments: object) -> None:
        """Have `action(*arguments)` run at `instant` (now, if that has passed); it must be a bound method, so that it can be saved."""
        self._sequence += 1
        due = max(instant.replace(microsecond=0), self.clock.now())  # whole seconds: what is shown is what is compared
        heapq.heappush(self._agenda, (due, self._sequence, action, arguments))

    def after(self, delay: timedelta, action: Callable[..., None], *arguments: object) -> None:
        """Have `action(*arguments)` run `delay` from now."""
        self.at(self.clock.now() + delay, action, *arguments)

    def advance_to(self, instant: datetime) -> int:
        """Run everything due up to and including `instant`, set the clock there; returns how many events ran."""
        instant = instant.replace(microsecond=0)
        ran = 0
        while self._agenda and self._agenda[0][0] <= instant:
            due, _, action, arguments = heapq.heappop(self._agenda)
            self.clock.set(due)
            action(*arguments)
            ran += 1
        self.clock.set(instant)
        return ran

    def next_due(self) -> datetime | None:
        """The instant of the next event, or None when nothing is planned."""
        return self._agenda[0][0] if self._agenda else None


class Chance:
    """Random numbers and ids by name: the same seed and name give the same draw, whatever was drawn before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._counters: dict[str, int] = {}

    def of(self, *name: object) -> random.Random:
        """A random source of its own for this name."""
        return random.Random(f"{self.seed}:{':'.join(map(str, name))}")  # noqa: S311 - play, not secrecy

    def number(self, kind: str, start: int = 1) -> int:
        """The next number of a kind: start, start+1, ..."""
        value = self._counters.get(kind, start)
        self._counters[kind] = value + 1
        return value

    def uuid(self, kind: str) -> str:
        """The next UUID of a kind, lower case with dashes."""
        text = f"{self.seed}:{kind}:{self.number(kind)}".encode()
        return str(uuid.UUID(bytes=blake2b(text, digest_size=16).digest(), version=4))


class Changes:
    """Which key changed when: appended in time order, searched by bisection.

    A key changed twice stands there twice; `since` yields each key once.
    """

    __slots__ = ("_instants", "_keys")

    def __init__(self) -> None:
        self._instants: list[datetime] = []
        self._keys: list[str] = []

    def add(self, instant: datetime, key: str) -> None:
        """Note that `key` changed at `instant` (never earlier than the last one noted)."""
        self._instants.append(instant)
        self._keys.append(key)

    def since(self, lower: datetime | None) -> Iterator[str]:
        """The keys that changed at or after `lower` (all when None), each once, in the order of their first change there."""
        first = 0 if lower is None else bisect_left(self._instants, lower)
        return iter(dict.fromkeys(self._keys[first:] if first else self._keys))
