"""The streams that are polled: how often, how far back, and what they are called.

Here: the cadence of each stream within its system's published call frequency, and the overlap that covers late writers.
Not here: how a stream is read (``lake.pull``). The invariant: a poll starts from the stored cursor, never from "one
interval ago".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from types import MappingProxyType
from typing import Final

from marketplace_returns.errors import BadSettings
from marketplace_returns.lake.tables import CORE_TABLES, Table
from marketplace_returns.settings import Shop
from marketplace_returns.sources.mirakl.frequencies import ACCEPTANCE_LOOK_S, ceilings

FIRST_LOOK_BACK: Final = timedelta(days=92)
"""How far back the first poll of a stream reaches: the longest marketplace return window, and a quarter of ledger lines."""

_PEAK: Final = timedelta(minutes=2)
"""What is polled every five minutes, in peak profile, where the call budget allows it."""
_OPERATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mirakl/order": "OR11",
        "mirakl/return": "RT11",
        "mirakl/transaction": "TL02",
        "mirakl/billing_cycle": "SBC11",
        "mirakl/invoice": "IV01",
        "mirakl/carrier": "SH21",
        "mirakl/platform": "A01",
    }
)
_STEPS: Final = (*(timedelta(minutes=n) for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)), timedelta(days=1))
"""The cadences a schedule can keep."""
_MINUTES_5: Final = timedelta(minutes=5)
_HOURLY: Final = timedelta(hours=1)
_DAILY: Final = timedelta(days=1)
_LATE_ENTRY: Final = timedelta(days=7)
"""How much later than it happened the warehouse may enter or correct a row (an assumption, nobody documents it)."""


class Reads(StrEnum):
    """How a stream is read: what changed in a window, all there is, or only what our own writes touched."""

    WINDOW = "window"
    FULL = "full"
    TOUCHED = "touched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream: its name in ``lake.pull``, its asset's name, and when it is polled.

    ``overlap`` is read again before the cursor at every poll of a stream that has windows, ``sweep`` once a day (what was
    entered late or corrected); an optional stream may be switched off at its source, which then answers 404.
    """

    name: str
    noun: str
    meaning: str
    poll_every: timedelta
    tables: tuple[str, ...]
    overlap: timedelta = timedelta(0)
    sweep: timedelta = timedelta(0)
    is_optional: bool = False
    reads: Reads = Reads.WINDOW

    @property
    def source(self) -> str:
        """The system it comes from."""
        return self.name.partition("/")[0]

    @property
    def declared_tables(self) -> tuple[Table, ...]:
        """The declarations of the tables it feeds; the first is the main one."""
        return tuple(_TABLES[f"{self.source}__{name}"] for name in self.tables)


_TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in CORE_TABLES})
_QUARTER: Final = timedelta(minutes=15)

STREAMS: Final[tuple[Stream, ...]] = (
    Stream(
        name="mirakl/order",
        noun="orders",
        meaning="Marketplace orders with lines, taxes, refunds and cancelations (OR11)",
        poll_every=_MINUTES_5,
        # OR11 itself reaches back before the start, a busy shop fills a page in minutes, and each page is one of five calls.
        overlap=_MINUTES_5,
        tables=("orders", "order_lines", "order_line_taxes", "refunds", "refund_taxes", "cancelations"),
    ),
    Stream(
        name="mirakl/return",
        noun="returns",
        meaning="Returns as the customer opened them on the marketplace (RT11)",
        poll_every=_MINUTES_5,
        overlap=_QUARTER,
        tables=("returns", "return_lines"),
    ),
    Stream(
        name="mirakl/shipment",
        is_optional=True,  # without multi-shipment the marketplace answers 404
        noun="shipments",
        meaning="Shipments, where the marketplace has several per order (ST11)",
        poll_every=_QUARTER,
        overlap=_QUARTER,
        tables=("shipments", "shipment_lines"),
    ),
    Stream(
        name="mirakl/transaction",
        noun="transactions",
        meaning="The marketplace's ledger, line by line: sales, commission, refunds, payouts (TL02)",
        poll_every=_HOURLY,
        overlap=_QUARTER,
        tables=("transactions",),
    ),
    Stream(
        name="mirakl/billing_cycle",
        noun="billing_cycles",
        meaning="Payout statements (SBC11)",
        poll_every=_DAILY,
        overlap=timedelta(days=45),  # filtered by creation, but a payout's state changes weeks later
        tables=("billing_cycles", "billing_cycle_totals"),
    ),
    Stream(
        name="mirakl/invoice",
        noun="invoices",
        meaning="The marketplace's commission and fee invoices to us (IV01)",
        poll_every=_DAILY,
        overlap=timedelta(days=45),
        tables=("invoices",),
    ),
    Stream(
        name="mirakl/offer",
        noun="offers",
        meaning="What is on sale on the marketplace, and why an offer is not (OF21)",
        poll_every=_HOURLY,
        reads=Reads.FULL,
        tables=("offers",),
    ),
    Stream(
        name="mirakl/reason",
        noun="reasons",
        meaning="The marketplace's reason codes (RE01)",
        poll_every=_DAILY,
        reads=Reads.FULL,
        tables=("reasons",),
    ),
    Stream(
        name="mirakl/carrier",
        noun="carriers",
        meaning="The marketplace's registered carriers (SH21)",
        poll_every=_DAILY,
        reads=Reads.FULL,
        tables=("carriers",),
    ),
    Stream(
        name="mirakl/platform",
        noun="platform",
        meaning="What the marketplace switched on, and our account there (PC01, A01)",
        poll_every=_DAILY,
        reads=Reads.FULL,
        tables=("platform",),
    ),
    Stream(
        name="reveni/return",
        noun="returns",
        meaning="Returns, items and refunds of the returns platform",
        poll_every=_MINUTES_5,
        overlap=timedelta(days=1),  # Reveni filters by whole days
        tables=("returns", "return_items", "refunds"),
    ),
    Stream(
        name="returngo/return",
        noun="returns",
        meaning="RMAs, their units and transactions in the returns platform",
        poll_every=_MINUTES_5,  # the client itself looks back, by the plan that keeps the day's calls
        tables=("rmas", "rma_items", "transactions", "sightings"),
    ),
    Stream(
        name="rebound/return",
        noun="returns",
        meaning="Returns, items and tracking of the returns platform",
        poll_every=_MINUTES_5,
        overlap=timedelta(days=1),  # legacy_ir searches by whole days; v2 pages over a set that changes meanwhile
        tables=("returns", "return_items", "tracking_events"),
    ),
    Stream(
        name="peoplevox/despatch",
        noun="despatches",
        meaning="What left the warehouse (report Despatch summary)",
        poll_every=_MINUTES_5,
        overlap=timedelta(hours=2),  # rows carry the minute they happened, not the minute they were entered
        sweep=_LATE_ENTRY,
        tables=("despatches",),
    ),
    Stream(
        name="peoplevox/return",
        noun="returns",
        meaning="What came back and its condition (report Return summary)",
        poll_every=_MINUTES_5,
        overlap=timedelta(hours=2),
        sweep=_LATE_ENTRY,
        tables=("returns",),
    ),
    Stream(
        name="peoplevox/goods_in",
        noun="goods_in",
        meaning="What was delivered, and against which expected receipt (report Goods in summary)",
        poll_every=_QUARTER,
        overlap=timedelta(hours=2),
        sweep=_LATE_ENTRY,
        tables=("goods_in",),
    ),
    Stream(
        name="peoplevox/stock",
        noun="stock",
        meaning="What the warehouse has available (report Item inventory summary)",
        poll_every=_MINUTES_5,
        reads=Reads.FULL,
        tables=("stock",),
    ),
    Stream(
        name="peoplevox/sales_order",
        noun="sales_orders",
        meaning="Our orders as the warehouse knows them",
        poll_every=_MINUTES_5,
        reads=Reads.TOUCHED,
        tables=("sales_orders", "sales_order_items"),
    ),
    Stream(
        name="peoplevox/purchase_order",
        noun="purchase_orders",
        meaning="Returns announced to the warehouse (returns purchase orders)",
        poll_every=_QUARTER,
        reads=Reads.TOUCHED,
        tables=("purchase_orders", "purchase_order_items"),
    ),
    Stream(
        name="peoplevox/item_type",
        noun="item_types",
        meaning="The warehouse's catalogue",
        poll_every=_DAILY,
        reads=Reads.FULL,
        tables=("item_types",),
    ),
)

ORDERS: Final = next(stream for stream in STREAMS if stream.name == "mirakl/order")
"""What acceptance waits for: no other read of the marketplace, nor a backfill of many days, goes before it (R14)."""


def streams_of(shop: Shop) -> tuple[Stream, ...]:
    """Return the streams of the systems a shop has, each with the shop's own cadence (R40, R94).

    Raises:
        BadSettings: a cadence of a stream the shop has not, of no schedule, or over the call budget.
    """
    systems = {"mirakl", shop.returns.platform}
    if shop.warehouse is not None:
        systems.add(shop.warehouse.system)
    streams = tuple(stream for stream in STREAMS if stream.source in systems)
    place = f"shops.{shop.name}.cadence.poll_s"
    for name in shop.cadence.poll_s:
        if name not in {stream.name for stream in streams}:
            raise BadSettings(f"{place}: {name!r} is no stream of this shop: use {', '.join(s.name for s in streams)}")
    return tuple(replace(stream, poll_every=_cadence(shop, stream, place)) for stream in streams)


def _cadence(shop: Shop, stream: Stream, place: str) -> timedelta:
    """Return how often a stream of a shop is polled: as set, else its default within the call budget."""
    floor = _least(shop, stream)
    asked_s = shop.cadence.poll_s.get(stream.name)
    if asked_s is None:
        wanted = _PEAK if shop.cadence.profile == "peak" and stream.poll_every == _MINUTES_5 else stream.poll_every
        return next((step for step in _STEPS if step >= max(wanted, floor)), _DAILY)
    asked = timedelta(seconds=asked_s)
    if asked < floor:
        raise BadSettings(
            f"{place}.{stream.name} = {asked_s} is over the call budget of profile {shop.mirakl.call_profile!r}: "
            f"give at least {int(floor.total_seconds())}"
        )
    if asked not in _STEPS:
        steps = ", ".join(str(int(step.total_seconds())) for step in _STEPS if step >= floor)
        raise BadSettings(f"{place}.{stream.name} = {asked_s} is no step of a schedule: use one of {steps}")
    return asked


def _least(shop: Shop, stream: Stream) -> timedelta:
    """Return the shortest time between two polls that the published call frequency leaves for them."""
    operation = _OPERATIONS.get(stream.name, "")
    seconds = 60.0
    for rate in ceilings(shop.mirakl.call_profile).get(operation, ()):
        left = rate.calls - rate.reserved
        if operation == "OR11" and has_acceptance_look(shop):
            steps = (step.total_seconds() for step in _STEPS)
            seconds = max(seconds, next(step for step in steps if _calls_of_orders(step) * rate.window_s <= left))
        else:
            seconds = max(seconds, rate.window_s / left)
    return timedelta(seconds=seconds)


def _calls_of_orders(poll_s: float) -> float:
    """Return how many calls a second read orders: a poll every so often, and looks for waiting ones where it is not soon enough."""
    return ceil(poll_s / ACCEPTANCE_LOOK_S) / poll_s


def has_acceptance_look(shop: Shop) -> bool:
    """Tell whether waiting orders are looked for between the polls: of an external partner's four calls an hour none is left for it."""
    return shop.mirakl.call_profile != "external_partner"


def poll_window(stream: Stream, watermark: datetime | None, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the window [from, to) a poll at ``now`` reads; None for a stream without one.

    The first poll of a day (UTC) reaches back by the stream's sweep.
    """
    if stream.reads is not Reads.WINDOW:
        return None
    if watermark is None:
        return now - FIRST_LOOK_BACK, now
    is_first_of_day = watermark.date() < now.date()
    start = watermark - (max(stream.overlap, stream.sweep) if is_first_of_day else stream.overlap)
    return min(start, now), now


def is_due(stream: Stream, polled_at: datetime | None, now: datetime) -> bool:
    """Tell whether a stream that was last polled at ``polled_at`` may be polled again by its cadence."""
    return polled_at is None or now - polled_at >= stream.poll_every
