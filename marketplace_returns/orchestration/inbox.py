"""Draining the webhook inbox: every object an event points at is read again from its source.

Here: which event leads to which stream, and what becomes of an event. Not here: receiving (``webhooks``), or how a stream is
read. The invariants: what an event says is never believed, only looked up; an event is settled only after what it points at
is in the lake; a drain takes a bounded number of events and reads each object once, however often it was told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marketplace_returns.errors import AuthFailed, RateLimited, SourceError, SourceRefused
from marketplace_returns.lake.pull import PullResult, begin, stream_of
from marketplace_returns.orchestration.streams import Stream, streams_of
from marketplace_returns.orchestration.sync import SourceFailure, poll_or_tell, tell_set_aside, tell_source, with_mend
from marketplace_returns.webhooks.inbox import Drained, Inbox, Waiting

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.settings import Shop

EVENTS_MAX: Final = 5_000
"""Events taken in one drain; the rest waits for the next."""
KEYS_MAX: Final = 200
"""Objects read one by one in one drain; where more are told and the source has a full list, that is read instead."""

_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_PEOPLEVOX: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AvailabilityChanges": "peoplevox/stock",
        "GoodsReceived": "peoplevox/stock",
        "IncrementalChanges": "peoplevox/stock",
        "SalesOrderStatusChanges": "peoplevox/sales_order",
        "Returns": "peoplevox/return",
        "TrackingNumberReceived": "peoplevox/despatch",
        "DespatchPackageTrackingNumberReceived": "peoplevox/despatch",
        "DespatchPackageDespatched": "peoplevox/despatch",
        "OnDespatchOrderReceived": "peoplevox/despatch",
    }
)


@dataclass(frozen=True, slots=True)
class InboxReport:
    """What a drain did: events taken, how they ended, and what could not be read (those events wait)."""

    taken: int = 0
    read: int = 0
    gone: int = 0
    unused: int = 0
    waiting: int = 0
    pulls: tuple[PullResult, ...] = ()
    failures: tuple[SourceFailure, ...] = ()


def drain_inbox(app: App, shop_name: str, *, run_id: str) -> InboxReport:
    """Read again what the events of a shop point at, and settle them; what cannot be read waits and is told.

    Raises:
        LakeBusy, LedgerBusy: another process holds them; events whose objects were not read yet still wait.
    """
    shop = app.shop(shop_name)
    inbox = app.inbox()
    if inbox is None:
        return InboxReport()
    drain = _Drain(app, shop, inbox, run_id)
    taken = inbox.waiting(shop.name, app.clock.now(), limit=EVENTS_MAX)
    streams = {stream.name: stream for stream in streams_of(shop)}
    by_stream: dict[str, list[Waiting]] = {}
    for event in taken:
        by_stream.setdefault(_stream_of(event), []).append(event)
    for name, events in by_stream.items():
        if name in streams:
            drain.read(streams[name], events)
        else:
            drain.settle(events, Drained.UNUSED)
    return drain.report(len(taken))


def _stream_of(event: Waiting) -> str:
    """Return the stream an event's object belongs to; empty where nothing is read for such an event."""
    return _PEOPLEVOX.get(event.event_type, "") if event.source == "peoplevox" else f"{event.source}/return"


class _Drain:
    """One drain of one shop, on its way."""

    def __init__(self, app: App, shop: Shop, inbox: Inbox, run_id: str) -> None:
        self._app = app
        self._shop = shop
        self._inbox = inbox
        self._run_id = run_id
        self._ended: dict[Drained, int] = dict.fromkeys(Drained, 0)
        self._pulls: list[PullResult] = []
        self._failures: dict[str, SourceFailure] = {}

    def report(self, taken: int) -> InboxReport:
        ended = self._ended
        settled = sum(ended.values())
        return InboxReport(
            taken,
            ended[Drained.READ],
            ended[Drained.GONE],
            ended[Drained.UNUSED],
            taken - settled,
            tuple(self._pulls),
            tuple(self._failures.values()),
        )

    def settle(self, events: Sequence[Waiting], outcome: Drained) -> None:
        self._inbox.settle(events, outcome, self._app.clock.now())
        self._ended[outcome] += len(events)

    def read(self, stream: Stream, events: Sequence[Waiting]) -> None:
        """Read what these events point at: named objects by their ids, all else by a poll now."""
        reading = stream_of(stream.name)
        named: dict[str, list[Waiting]] = {}
        polled: list[Waiting] = []
        for event in events:
            if event.object_id and reading.by_keys is not None:
                named.setdefault(event.object_id, []).append(event)
            else:
                polled.append(event)
        if len(named) > KEYS_MAX and reading.in_full is not None:
            polled, named = list(events), {}
        if polled:
            self._poll(stream, polled)
        if named:
            chosen = dict(list(named.items())[:KEYS_MAX])
            self._read_named(stream, chosen)

    def _poll(self, stream: Stream, events: Sequence[Waiting]) -> None:
        try:
            self._pulls.append(poll_or_tell(self._app, self._shop.name, stream, run_id=self._run_id))
        except SourceError as error:
            self._fail(stream, events, error)
        else:
            self.settle(events, Drained.READ)

    def _read_named(self, stream: Stream, named: Mapping[str, Sequence[Waiting]]) -> None:
        """Read objects together; where the source refuses, one by one, so that one bad id holds up no other."""
        try:
            self._pull(stream, list(named))
        except SourceError as error:
            if not _is_of_one_object(error):
                self._fail(stream, [event for events in named.values() for event in events], error)
                return
        else:
            self._settle_named(stream, named)
            return
        for key, events in named.items():
            try:
                self._pull(stream, [key])
            except SourceError as error:
                if error.status in _GONE:
                    self.settle(events, Drained.GONE)
                else:
                    self._fail(stream, events, error)
                    if not _is_of_one_object(error):
                        return
            else:
                self.settle(events, Drained.READ)
        if stream.name not in self._failures:
            tell_source(self._app, self._shop.name, _told_as(stream), None)

    def _settle_named(self, stream: Stream, named: Mapping[str, Sequence[Waiting]]) -> None:
        self.settle([event for events in named.values() for event in events], Drained.READ)
        tell_source(self._app, self._shop.name, _told_as(stream), None)

    def _pull(self, stream: Stream, keys: Sequence[str]) -> None:
        app = self._app
        client = app.client(self._shop, stream.source)
        done = begin(
            app.lake,
            stream.name,
            self._shop.name,
            client,
            None,
            run_id=self._run_id,
            clock=app.clock,
            keys=keys,
            con=app.con,
        ).settle()
        self._pulls.append(done)
        tell_set_aside(app, self._shop.name, stream, done)
        if any(done.rows.values()):
            # the stream's own cursor stays where its poll left it; this one makes the lanes see that there are new facts
            app.ledger.set_cursor(self._shop.name, _told_as(stream), app.clock.now())

    def _fail(self, stream: Stream, events: Sequence[Waiting], error: SourceError) -> None:
        self._inbox.postpone(events, self._app.clock.now())
        words = with_mend(self._shop, stream.source, error)
        self._failures[stream.name] = SourceFailure(stream.name, type(error).__name__, words)
        tell_source(self._app, self._shop.name, _told_as(stream), error)


def _told_as(stream: Stream) -> str:
    """Name the re-reads of a stream's objects apart from its polls, which may fare otherwise."""
    return f"{stream.name}/webhooks"


def _is_of_one_object(error: SourceError) -> bool:
    """Tell whether a source may have refused one object rather than us."""
    return isinstance(error, SourceRefused) and not isinstance(error, AuthFailed | RateLimited)
