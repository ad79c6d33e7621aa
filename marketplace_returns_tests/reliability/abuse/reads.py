"""Every read of every source, as the pipeline makes it.

Here lives the table of readings. Not here: what becomes of what they give. Invariant: each reading is asked by the same
method, window and keys as the pipeline asks it, so that what breaks here breaks there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from marketplace_returns.lake.pull import STREAMS, Page, Stream
from marketplace_returns.orchestration.app import App
from marketplace_returns_tests.orchestration.conftest import SHOP

DAYS = 6
KEYS_MAX = 4

_KEYS = {
    "mirakl/order": "SELECT order_id FROM lake.core.mirakl__orders ORDER BY created_at DESC",
    "mirakl/return": "SELECT return_id FROM lake.core.mirakl__returns ORDER BY created_at DESC",
    "mirakl/shipment": "SELECT order_id FROM lake.core.mirakl__orders WHERE order_state = 'SHIPPED' ORDER BY 1",
    "reveni/return": "SELECT platform_return_id FROM lake.core.reveni__returns ORDER BY created_at DESC",
    "returngo/return": "SELECT platform_return_id FROM lake.core.returngo__rmas ORDER BY created_at DESC",
    "rebound/return": "SELECT platform_return_id FROM lake.core.rebound__returns ORDER BY created_at DESC",
    "peoplevox/despatch": "SELECT DISTINCT despatch_number FROM lake.core.peoplevox__despatches ORDER BY 1 DESC",
    "peoplevox/return": "SELECT DISTINCT sales_order_number FROM lake.core.peoplevox__returns ORDER BY 1 DESC",
    "peoplevox/stock": "SELECT DISTINCT item_code FROM lake.core.peoplevox__stock ORDER BY 1",
    "peoplevox/sales_order": "SELECT sales_order_number FROM lake.core.peoplevox__sales_orders ORDER BY 1 DESC",
    "peoplevox/purchase_order": "SELECT purchase_order_number FROM lake.core.peoplevox__purchase_orders ORDER BY 1 DESC",
}
"""What is read by keys, by stream."""


@dataclass(frozen=True)
class Read:
    """One way to read one stream, and its share of the mutants."""

    stream: str
    how: str
    read: Callable[[App, Any], Iterable[Page]]
    weight: int = 1

    @property
    def name(self) -> str:
        """Return how it is called on the page."""
        return f"{self.stream} {self.how}"


def reads_of(source: str, app: App, now: datetime) -> list[Read]:
    """Return all readings of a source."""
    found = [
        read
        for name, stream in STREAMS.items()
        if name.partition("/")[0] == source
        for read in _of_stream(stream, app, (now - timedelta(days=DAYS), now))
    ]
    if source == "mirakl":
        waiting = "WAITING_ACCEPTANCE"
        found.append(Read("mirakl/order", "to accept", lambda _app, client: client.orders_in_state(waiting), 2))
    return found


def _of_stream(stream: Stream, app: App, window: tuple[datetime, datetime]) -> list[Read]:
    found = []
    if (by_window := stream.by_window) is not None:
        found.append(Read(stream.name, "by window", lambda _app, client: by_window(client, window), 3))
    if (knowing := stream.knowing) is not None:
        found.append(Read(stream.name, "by window", lambda app, client: knowing(client, window, app.con, SHOP), 3))
    if (by_keys := stream.by_keys) is not None and stream.name in _KEYS:
        keys = [row[0] for row in app.con.execute(f"{_KEYS[stream.name]} LIMIT {KEYS_MAX}").fetchall()]
        if keys:
            found.append(Read(stream.name, "by keys", lambda _app, client: by_keys(client, keys), 2))
    if (in_bulk := stream.in_bulk) is not None:
        found.append(Read(stream.name, "in bulk", lambda _app, client: in_bulk(client, window), 2))
    if (in_full := stream.in_full) is not None:
        found.append(Read(stream.name, "in full", lambda _app, client: in_full(client)))
    return found
