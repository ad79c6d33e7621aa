"""Pulling: from a source's pages to the core tables, a bounded batch at a time.

Here lives the table of streams (what is polled with one cursor) and the one loop that reads pages. What must not: how a
source is called beyond the name of its method, when to call it, or how a batch gets into the lake (``settling``). The
invariant: a batch is in the lake whole or not at all, so a broken pull may simply be run again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import duckdb

from marketplace_returns.clock import Clock
from marketplace_returns.errors import BadArgument, SourceError
from marketplace_returns.lake import landing, listing, objects
from marketplace_returns.lake.connection import Lake, one_snapshot
from marketplace_returns.lake.objects import ObjectKind
from marketplace_returns.lake.rma_memory import RmaMemory
from marketplace_returns.lake.settling import Settled, settle

BATCH_OBJECTS_MAX = 5_000  # bounds the memory of a pull; an order is about 5 kB

_YOUNG = 1  # the generations that hold what was made since the collector rested

Page = list[dict[str, Any]]
Window = tuple[datetime, datetime]


class Progress(Protocol):
    """What hears of a pull's progress: objects read so far."""

    def __call__(self, objects_read: int) -> None:
        """Take note."""


@dataclass(frozen=True)
class Stream:
    """One thing that is polled.

    Attributes:
        kind: the objects it brings.
        by_window: how to read what changed in a window; None where the source has no window.
        by_keys: how to read named objects (of the warehouse's reports: parcels by despatch number, returns by sales order,
            stock by item); None where the source cannot.
        in_full: how to read all there is; None where that is no way to poll.
        in_bulk: how to read a long window by the source's own export; None where it has none.
        knowing: how to read what changed in a window where that depends on what the lake knows already.
    """

    name: str
    kind: ObjectKind
    by_window: Callable[[Any, Window], Iterable[Page]] | None = None
    by_keys: Callable[[Any, Sequence[str]], Iterable[Page]] | None = None
    in_full: Callable[[Any], Iterable[Page]] | None = None
    in_bulk: Callable[[Any, Window], Iterable[Page]] | None = None
    knowing: Callable[[Any, Window, duckdb.DuckDBPyConnection, str], Iterable[Page]] | None = None


@dataclass(frozen=True)
class PullResult:
    """What a pull did.

    Attributes:
        objects: objects read, repeats included.
        new: payloads that were not known.
        rows: rows inserted or changed, by core table name.
        quarantined: rows and objects set aside.
        changed_until: the latest change any object told of; None when they tell none.
    """

    stream: str
    objects: int = 0
    new: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0
    changed_until: datetime | None = None

    def after(self, arrivals: landing.Arrivals, done: Settled) -> PullResult:
        """Return what was done with one more batch settled."""
        told = (self.changed_until, arrivals.changed_until)
        return PullResult(
            self.stream,
            self.objects + arrivals.objects,
            self.new + done.new,
            {name: count + done.rows.get(name, 0) for name, count in self.rows.items()},
            self.quarantined + done.aside,
            max((instant for instant in told if instant is not None), default=None),
        )


def _in_part() -> bool:
    return False


class Reading:
    """A stream that is being read: full batches of it go into the lake at once, the rest when it is settled.

    Attributes:
        lake, con, clock: where it goes, and when it came.
        arrivals: what came and is not in the lake yet.
        failure: what the source failed with. What came before it is good, and where each object costs a call of a daily
            budget it is not read twice: it is settled all the same.
    """

    def __init__(
        self,
        lake: Lake,
        con: duckdb.DuckDBPyConnection,
        stream: str,
        shop: str,
        *,
        run_id: str,
        clock: Clock,
        is_whole: Callable[[], bool] = _in_part,
    ) -> None:
        """Start with nothing read; ``is_whole`` is asked after the last page whether the pages were all there is."""
        kind = stream_of(stream).kind
        self.failure: SourceError | None = None
        self.lake, self.con, self.clock = lake, con, clock
        self._shop, self._run_id = shop, run_id
        self._kind = kind
        self._is_whole = is_whole
        self._listed: set[str] | None = set() if listing.has_listing(kind) else None
        self._result = PullResult(stream, rows=dict.fromkeys((table.name for table in kind.tables), 0))
        self.arrivals = landing.Arrivals(shop, kind, run_id)

    def read(self, pages: Iterable[Page], on_progress: Progress | None = None) -> None:
        """Take pages to the last one, or until the source fails; LakeBusy where a full batch finds the lake locked."""
        try:
            with _collector_resting():
                for page in pages:
                    self.arrivals.add(page, self.clock.now())
                    if self._listed is not None:
                        self._listed.update(self._kind.id_of(item) for item in page)
                    if on_progress is not None:
                        on_progress(self._result.objects + self.arrivals.objects)
                    if self.arrivals.objects >= BATCH_OBJECTS_MAX:
                        settle_readings([self])
                        gc.collect(_YOUNG)
        except SourceError as error:
            self.failure = error

    def note(self, done: Settled) -> None:
        """Count what settling did, and start anew."""
        self._result = self._result.after(self.arrivals, done)
        self.arrivals = landing.Arrivals(self._shop, self._kind, self._run_id)

    def settle(self) -> PullResult:
        """Bring what came into the lake, by itself, and end; raises as ``end``."""
        settle_readings([self])
        return self.end()

    def end(self) -> PullResult:
        """Return what the reading did, once it is settled; rows that a whole list did not give are no longer listed.

        Raises:
            SourceError: the source failed; what it gave before is in the lake.
            LakeBusy: the lake stayed locked.
        """
        if self.failure is not None:
            raise self.failure
        result, kind = self._result, self._kind
        # A row that cannot be read may be the one that is missing.
        if self._listed is None or result.quarantined or not self._is_whole():
            return result
        gone = listing.mark_unlisted(
            self.lake,
            self.con,
            kind,
            shop=self._shop,
            ids=self._listed,
            run_id=self._run_id,
            now=self.clock.now(),
        )
        main = kind.tables[0].name
        return replace(result, rows={**result.rows, main: result.rows[main] + gone})


def settle_readings(readings: Sequence[Reading]) -> None:
    """Bring what came of readings of different streams, of one shop and run, into the lake in one transaction.

    Raises:
        LakeBusy: the lake stayed locked; nothing of it was written.
    """
    waiting = [each for each in readings if each.arrivals.objects]
    if not waiting:
        return
    first = waiting[0]
    with _collector_resting():
        done = settle(first.lake, first.con, [each.arrivals for each in waiting], first.clock)
    for each, settled in zip(waiting, done, strict=True):
        each.note(settled)


def begin(
    lake: Lake,
    stream: str,
    shop: str,
    client: Any,
    window: Window | None,
    *,
    run_id: str,
    clock: Clock,
    con: duckdb.DuckDBPyConnection,
    keys: Sequence[str] | None = None,
    in_bulk: bool = False,
    on_progress: Progress | None = None,
) -> Reading:
    """Read a stream from its source, to be settled alone or with others, and then ended.

    Args:
        lake: the lake to fill.
        stream: a name of ``STREAMS``, such as ``mirakl/order``.
        shop: name of the shop as in the settings.
        client: the source's client.
        window: UTC instants (from, until) of change; None reads all there is, or the ``keys``.
        run_id: the run that pulls; every row and the snapshot name it.
        clock: says when a page was fetched.
        con: the connection to use.
        keys: ids to read instead of a window, for what a write has touched.
        in_bulk: use the source's bulk export where it has one (OR13, TL03).
        on_progress: hears of every page.

    Raises:
        BadArgument: an unknown stream, or one that cannot be read that way.
        LakeBusy: the lake stayed locked.
    """

    def pages() -> Iterator[Page]:
        yield from _pages(stream_of(stream), client, window, keys, in_bulk=in_bulk, con=con, shop=shop)

    reading = Reading(
        lake, con, stream, shop, run_id=run_id, clock=clock, is_whole=lambda: keys is None and window is None
    )
    reading.read(pages(), on_progress)
    return reading


def take(
    lake: Lake,
    stream: str,
    shop: str,
    pages: Iterable[Page],
    *,
    run_id: str,
    clock: Clock,
    con: duckdb.DuckDBPyConnection,
    is_whole: Callable[[], bool] = _in_part,
    on_progress: Progress | None = None,
) -> PullResult:
    """Bring pages of a stream into the lake, wherever they come from (a client, or extract files).

    ``is_whole`` is asked after the last page whether the pages were all there is, so that what they do not have is no
    longer listed.
    """
    reading = Reading(lake, con, stream, shop, run_id=run_id, clock=clock, is_whole=is_whole)
    reading.read(pages, on_progress)
    return reading.settle()


def retype(
    lake: Lake,
    stream: str,
    shop: str,
    *,
    run_id: str,
    clock: Clock,
    con: duckdb.DuckDBPyConnection,
    on_progress: Progress | None = None,
) -> PullResult:
    """Type every payload of a stream that has landed, in the order in which they came; no source is asked.

    Rows that are lost come back as they were but for ``run_id``; rows that are there stay.
    """
    kind = stream_of(stream).kind
    result = PullResult(stream, rows=dict.fromkeys((table.name for table in kind.tables), 0))
    with one_snapshot(con):
        turns = landing.take_turns(con, shop, kind.stream)
    with _collector_resting():
        for turn, payloads in enumerate(turns):
            for first in range(0, payloads, BATCH_OBJECTS_MAX):
                arrivals = landing.Arrivals(shop, kind, run_id)
                for item, fetched_at, content_hash in landing.of_turn(con, turn, first, BATCH_OBJECTS_MAX):
                    arrivals.add([item], fetched_at, content_hash)
                (done,) = settle(lake, con, [arrivals], clock, has_landed=True)
                result = result.after(arrivals, done)
                gc.collect(_YOUNG)
                if on_progress is not None:
                    on_progress(result.objects)
    con.execute("DROP TABLE landed_before")
    return result


@contextmanager
def _collector_resting() -> Iterator[None]:
    """Keep Python from looking for cycles of garbage, for decoded JSON has none: a fifth of a bulk ingest's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def stream_of(name: str) -> Stream:
    """Return the stream of that name; BadArgument lists the names."""
    try:
        return STREAMS[name]
    except KeyError:
        raise BadArgument(f"there is no stream {name!r}: use one of {', '.join(STREAMS)}") from None


def _pages(
    stream: Stream,
    client: Any,
    window: Window | None,
    keys: Sequence[str] | None,
    *,
    in_bulk: bool,
    con: duckdb.DuckDBPyConnection,
    shop: str,
) -> Iterable[Page]:
    if keys is not None and stream.by_keys is not None:
        return stream.by_keys(client, keys)
    if window is not None and in_bulk and stream.in_bulk is not None:
        return stream.in_bulk(client, window)
    if window is not None and stream.knowing is not None:
        return stream.knowing(client, window, con, shop)
    if window is not None and stream.by_window is not None:
        return stream.by_window(client, window)
    if keys is None and stream.in_full is not None:
        return stream.in_full(client)
    ways = {"a window": stream.by_window or stream.knowing, "keys": stream.by_keys, "no window": stream.in_full}
    known = " or ".join(way for way, reader in ways.items() if reader is not None)
    raise BadArgument(f"stream {stream.name} cannot be read that way: give {known}")


def _reveni_window(client: Any, window: Window) -> Iterable[Page]:
    """Reveni filters by whole days of a zone it does not name: one day more on both sides."""
    day = timedelta(days=1)
    pages: Iterable[Page] = client.returns((window[0] - day).date(), (window[1] + day).date())
    return pages


def _reveni_keys(client: Any, keys: Sequence[str]) -> Iterator[Page]:
    for key in keys:
        yield [client.return_by_id(key)]


def _platform(client: Any) -> Iterator[Page]:
    yield [{"name": "pc01", "settings": client.platform_configuration()}]
    yield [{"name": "a01", "settings": client.account()}]


def _one_page(objects_read: Any) -> Iterator[Page]:
    """A method that gives a list gives one page."""
    yield list(objects_read)


def _streams(*streams: Stream) -> dict[str, Stream]:
    return {stream.name: stream for stream in streams}


STREAMS: dict[str, Stream] = _streams(
    Stream(
        "mirakl/order",
        objects.MIRAKL_ORDER,
        by_window=lambda client, window: client.orders(*window),
        by_keys=lambda client, keys: client.orders_by_id(keys, spare=True),
        in_bulk=lambda client, window: client.orders_export(*window),
    ),
    Stream(
        "mirakl/return",
        objects.MIRAKL_RETURN,
        by_window=lambda client, window: client.returns(*window),
        by_keys=lambda client, keys: client.returns_by_id(keys, spare=True),
    ),
    Stream(
        "mirakl/shipment",
        objects.MIRAKL_SHIPMENT,
        by_window=lambda client, window: client.shipments(updated_from=window[0], updated_to=window[1]),
        by_keys=lambda client, keys: client.shipments(order_ids=keys),
    ),
    Stream("mirakl/offer", objects.MIRAKL_OFFER, in_full=lambda client: client.offers()),
    Stream(
        "mirakl/transaction",
        objects.MIRAKL_TRANSACTION,
        by_window=lambda client, window: client.transactions(*window),
        in_bulk=lambda client, window: client.transactions_export(*window),
    ),
    Stream(
        "mirakl/billing_cycle",
        objects.MIRAKL_BILLING_CYCLE,
        by_window=lambda client, window: client.billing_cycles(*window),
    ),
    Stream("mirakl/invoice", objects.MIRAKL_INVOICE, by_window=lambda client, window: client.invoices(*window)),
    Stream("mirakl/reason", objects.MIRAKL_REASON, in_full=lambda client: _one_page(client.reasons())),
    Stream("mirakl/carrier", objects.MIRAKL_CARRIER, in_full=lambda client: _one_page(client.carriers())),
    Stream("mirakl/platform", objects.MIRAKL_PLATFORM, in_full=_platform),
    Stream("reveni/return", objects.REVENI_RETURN, by_window=_reveni_window, by_keys=_reveni_keys),
    Stream(
        "returngo/return",
        objects.RETURNGO_RETURN,
        knowing=lambda client, window, con, shop: client.changes(window, RmaMemory(con, shop)),
        by_keys=lambda client, keys: client.rmas_by_id(keys),
    ),
    Stream(
        "rebound/return",
        objects.REBOUND_RETURN,
        by_window=lambda client, window: client.returns(*window),
        by_keys=lambda client, keys: client.returns_by_id(keys),
    ),
    Stream(
        "peoplevox/despatch",
        objects.PEOPLEVOX_DESPATCH,
        by_window=lambda client, window: client.despatches(*window),
        by_keys=lambda client, keys: client.parcels(keys),
    ),
    Stream(
        "peoplevox/return",
        objects.PEOPLEVOX_RETURN,
        by_window=lambda client, window: client.returns(*window),
        by_keys=lambda client, keys: client.returns_of(keys),
    ),
    Stream("peoplevox/goods_in", objects.PEOPLEVOX_GOODS_IN, by_window=lambda client, window: client.goods_in(*window)),
    Stream(
        "peoplevox/stock",
        objects.PEOPLEVOX_STOCK,
        by_keys=lambda client, keys: client.stock(keys),
        in_full=lambda client: client.stock(),
    ),
    Stream(
        "peoplevox/sales_order",
        objects.PEOPLEVOX_SALES_ORDER,
        by_keys=lambda client, keys: _one_page(client.whole_sales_orders(keys)),
    ),
    Stream(
        "peoplevox/purchase_order",
        objects.PEOPLEVOX_PURCHASE_ORDER,
        by_keys=lambda client, keys: _one_page(client.whole_purchase_orders(keys)),
    ),
    Stream("peoplevox/item_type", objects.PEOPLEVOX_ITEM_TYPE, in_full=lambda client: client.item_types()),
)
