"""Pulling: from a source's pages to the core tables, one short transaction per batch.

Here lives the table of streams (what is polled with one cursor) and the one loop that lands, types and merges. What must
not: how a source is called beyond the name of its method, or when to call it. The invariant: a batch is in the lake
whole, payloads and rows, or not at all, so a broken pull may simply be run again.
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
from marketplace_returns.lake import bookings, landing, listing, objects, upsert
from marketplace_returns.lake.connection import Lake, one_snapshot
from marketplace_returns.lake.objects import ObjectKind
from marketplace_returns.lake.rma_memory import RmaMemory

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


def pull(
    lake: Lake,
    stream: str,
    shop: str,
    client: Any,
    window: Window | None,
    *,
    run_id: str,
    clock: Clock,
    keys: Sequence[str] | None = None,
    in_bulk: bool = False,
    on_progress: Progress | None = None,
    con: duckdb.DuckDBPyConnection | None = None,
) -> PullResult:
    """Read a stream from its source and bring the lake up to it.

    Args:
        lake: the lake to fill.
        stream: a name of ``STREAMS``, such as ``mirakl/order``.
        shop: name of the shop as in the settings.
        client: the source's client.
        window: UTC instants (from, until) of change; None reads all there is, or the ``keys``.
        run_id: the run that pulls; every row and the snapshot name it.
        clock: says when a page was fetched.
        keys: ids to read instead of a window, for what a write has touched.
        in_bulk: use the source's bulk export where it has one (OR13, TL03).
        on_progress: hears of every page.
        con: a connection to use; one is made and closed otherwise.

    Raises:
        BadArgument: an unknown stream, or one that cannot be read that way.
        SourceError: the source failed; what it gave before is in the lake.
        LakeBusy: the lake stayed locked.
    """
    own = con if con is not None else lake.connect()
    try:
        pages = _pages(stream_of(stream), client, window, keys, in_bulk=in_bulk, con=own, shop=shop)
        return take(
            lake,
            stream,
            shop,
            pages,
            run_id=run_id,
            clock=clock,
            is_whole=lambda: keys is None and window is None,
            on_progress=on_progress,
            con=own,
        )
    finally:
        if con is None:
            own.close()


def _in_part() -> bool:
    return False


def take(
    lake: Lake,
    stream: str,
    shop: str,
    pages: Iterable[Page],
    *,
    run_id: str,
    clock: Clock,
    is_whole: Callable[[], bool] = _in_part,
    on_progress: Progress | None = None,
    con: duckdb.DuckDBPyConnection | None = None,
) -> PullResult:
    """Bring pages of a stream into the lake, wherever they come from (a client, or extract files); see ``pull``.

    ``is_whole`` is asked after the last page whether the pages were all there is, so that what they do not have is no
    longer listed.
    """
    kind = stream_of(stream).kind
    listed: set[str] | None = set() if listing.has_listing(kind) else None
    own = con if con is not None else lake.connect()
    try:
        with _collector_resting():
            result = PullResult(stream, rows=dict.fromkeys((table.name for table in kind.tables), 0))
            arrivals = landing.Arrivals(shop, kind, run_id)
            try:
                for page in pages:
                    arrivals.add(page, clock.now())
                    if listed is not None:
                        listed.update(kind.id_of(item) for item in page)
                    if on_progress is not None:
                        on_progress(result.objects + arrivals.objects)
                    if arrivals.objects >= BATCH_OBJECTS_MAX:
                        result = _settle(lake, own, arrivals, result, clock)
                        arrivals = landing.Arrivals(shop, kind, run_id)
                        gc.collect(_YOUNG)
            except SourceError:
                # what came before is good, and where each object costs a call of a daily budget it is not read twice
                if arrivals.objects:
                    _settle(lake, own, arrivals, result, clock)
                raise
            if arrivals.objects:
                result = _settle(lake, own, arrivals, result, clock)
            # A row that cannot be read may be the one that is missing.
            if listed is not None and is_whole() and not result.quarantined:
                gone = listing.mark_unlisted(lake, own, kind, shop=shop, ids=listed, run_id=run_id, now=clock.now())
                main = kind.tables[0].name
                result = replace(result, rows={**result.rows, main: result.rows[main] + gone})
            return result
    finally:
        if con is None:
            own.close()


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
        turns = landing.take_turns(con, shop, kind.source, kind.name)
    with _collector_resting():
        for turn, payloads in enumerate(turns):
            for first in range(0, payloads, BATCH_OBJECTS_MAX):
                arrivals = landing.Arrivals(shop, kind, run_id)
                for item, fetched_at in landing.of_turn(con, turn, first, BATCH_OBJECTS_MAX):
                    arrivals.add([item], fetched_at)
                result = _settle(lake, con, arrivals, result, clock, has_landed=True)
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


def _settle(
    lake: Lake,
    con: duckdb.DuckDBPyConnection,
    arrivals: landing.Arrivals,
    before: PullResult,
    clock: Clock,
    *,
    has_landed: bool = False,
) -> PullResult:
    """Type one batch and write it in one transaction, its payloads too unless it ``has_landed``.

    All reading is done before, so that the transaction only writes; it reads again where another writer came between.
    """
    kind = arrivals.kind
    arrivals.stage(con)
    new, aside = 0, 0
    counts: dict[str, int] = {}
    with one_snapshot(con):
        seen = _version(con)
        known = arrivals.contents if has_landed else landing.find_known(con, arrivals)
        # A content that tells its own version was typed when it landed. Without one the source may have gone back to an
        # earlier content, and the last fetched wins.
        only_new = bool(kind.changed_field) and not kind.types_known and not has_landed
        is_any_left = not only_new or known < arrivals.contents
        if is_any_left:
            upsert.prepare(con)
            landing.make_batch(con, arrivals, only_new=only_new)
            fed = [table for table in kind.tables if kind.has_rows(table, arrivals.filled)]
            typed = [upsert.read_rows(con, table) for table in fed]
            aside = sum(rows.aside for rows in typed)
            if arrivals.faulty:
                aside += upsert.set_aside_objects(
                    con, kind.tables[0], shop=arrivals.shop, run_id=arrivals.run_id, only_new=only_new
                )
            compared = _compare(con, arrivals, typed)

    def work(inside: duckdb.DuckDBPyConnection) -> tuple[int, dict[str, int]]:
        found = compared
        if _version(inside) != seen:
            if not has_landed:
                landing.find_known(inside, arrivals)
            found = _compare(inside, arrivals, typed)
        written = 0 if has_landed else landing.write(inside, arrivals)
        merged = {
            rows.table.name: upsert.merge_rows(inside, rows, moves, shop=arrivals.shop)
            for rows, moves in zip(typed, found.moves, strict=True)
        }
        if found.booked is not None:
            bookings.write(inside, found.booked)
        if aside or found.held:
            upsert.merge_aside(
                inside, typed, found.held, shop=arrivals.shop, source=kind.source, quarantined_at=clock.now()
            )
        return written, merged

    if is_any_left and (known < arrivals.contents or aside or compared.is_to_write):
        new, counts = lake.transact(con, arrivals.run_id, f"pull {before.stream}", work)
    return PullResult(
        before.stream,
        before.objects + arrivals.objects,
        before.new + new,
        {name: count + counts.get(name, 0) for name, count in before.rows.items()},
        before.quarantined + aside,
        max((t for t in (before.changed_until, arrivals.changed_until) if t is not None), default=None),
    )


@dataclass(frozen=True)
class _Compared:
    """How a typed batch differs from one snapshot of the lake.

    Attributes:
        moves: what is new and changed, by table.
        booked: what that changes of the log's bookings; None where it changes none.
        held: the tables quarantine holds rows of.
    """

    moves: tuple[upsert.Moves, ...]
    booked: bookings.Change | None
    held: frozenset[str]

    @property
    def is_to_write(self) -> bool:
        return bool(self.held) or any(moves.new or moves.changed for moves in self.moves)


def _compare(
    con: duckdb.DuckDBPyConnection, arrivals: landing.Arrivals, typed: Sequence[upsert.TypedRows]
) -> _Compared:
    if arrivals.has_personal:
        landing.find_known_personal(con, arrivals)
    moves = tuple(upsert.compare(con, rows, shop=arrivals.shop) for rows in typed)
    log = next((each for rows, each in zip(typed, moves, strict=True) if rows.table is bookings.LOG), None)
    return _Compared(
        moves,
        None if log is None else bookings.compare(con, log, shop=arrivals.shop),
        upsert.held_tables(con, shop=arrivals.shop, source=arrivals.kind.source),
    )


def _version(con: duckdb.DuckDBPyConnection) -> int:
    """Return the snapshot that the running transaction sees."""
    ((version,),) = con.execute("FROM lake.current_snapshot()").fetchall()
    return int(version)


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
        by_keys=lambda client, keys: client.orders_by_id(keys),
        in_bulk=lambda client, window: client.orders_export(*window),
    ),
    Stream(
        "mirakl/return",
        objects.MIRAKL_RETURN,
        by_window=lambda client, window: client.returns(*window),
        by_keys=lambda client, keys: client.returns_by_id(keys),
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
