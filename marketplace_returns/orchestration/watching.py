"""Looking at the monitoring tables, and keeping their exceptions in step.

Here: the model and the ledger put together for ``monitoring``, for the audit, Dagster and whoever asks. Not here: what a table
holds or what it raises. The invariant: a table's exceptions in the queue are those it asks for now; nothing is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marketplace_returns.lake.connection import all_threads
from marketplace_returns.monitoring import TABLES, Seen, look, stage
from marketplace_returns.monitoring.alarms import alarms_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.orchestration.app import App
    from marketplace_returns.settings import Shop


@dataclass(frozen=True, slots=True)
class Watched:
    """A table as it is now, and how many exceptions it opened and closed."""

    seen: Seen
    opened: int
    closed: int


def watched(app: App, shop: Shop, con: DuckDBPyConnection) -> DuckDBPyConnection:
    """Put the ledger's rows of a shop into a connection that has the model, and return it."""
    stage(con, app.ledger.intents_arrow(shop.name), app.ledger.exceptions_arrow(shop.name))
    return con


def glance(app: App, shop_name: str, table: str) -> Seen:
    """Look at one table over the model as it is now, for somebody's eyes: no exception is opened or closed, no unit numbered."""
    shop = app.shop(shop_name)
    con = watched(app, shop, app.modelled())
    with all_threads(con):
        return look(con, table, shop, app.clock.now())


def watch(app: App, shop_name: str, con: DuckDBPyConnection, tables: Sequence[str] = TABLES) -> dict[str, Watched]:
    """Look at tables on a connection from ``watched`` and hand the exceptions they ask for to the ledger."""
    shop = app.shop(shop_name)
    found = {}
    for name in tables:
        seen = look(con, name, shop, app.clock.now())
        alarms = alarms_of(seen, shop)
        opened = closed = 0
        if alarms is not None:
            changed = app.ledger.raise_exceptions(shop.name, f"monitoring/{name}", alarms)
            opened, closed = changed.opened, changed.closed
        found[name] = Watched(seen, opened, closed)
    return found
