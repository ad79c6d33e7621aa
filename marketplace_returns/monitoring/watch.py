"""Runs the monitoring tables on a connection that holds the model.

Here: which tables there are, what they are bound to, and the ledger's rows put beside the lake. Not here: what a row means
(the ``.sql`` files say that). The invariant: a table only selects, with bound parameters.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from marketplace_returns.lake.sql import statement
from marketplace_returns.lake.tables import Kind
from marketplace_returns.reconciliation.close import run_query, stage_tolerances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from marketplace_returns.settings import Shop

PACKAGE: Final = "marketplace_returns.monitoring"

TABLES: Final = (
    "lane_health",
    "order_coverage",
    "stock_sync",
    "stock_drift",
    "sku_audit",
    "despatch_vs_shipped",
    "payout_at_risk",
    "failed_return_creations",
    "overdue_reflections",
    "failure_causes",
    "open_drift",
    "refused_taxes",
    "new_values",
    "mapping_review",
    "marketplace_codes",
    "reason_quality",
    "seller_metrics",
    "trends",
    "transaction_types",
    "penalties",
    "commission_credits",
)
"""Every monitoring table, the hourly ones first."""

_RESTS_ON: Final = MappingProxyType({"payout_at_risk": ("despatch_vs_shipped",)})

STALE_AFTER: Final = timedelta(minutes=30)
"""Without a stock reading or with an unsent stock push for this long, stock counts as stale (R12, R84): six polls."""
DRIFT_AFTER: Final = timedelta(hours=2)
"""An offer that differs from the warehouse for this long although it was pushed has drifted (R83)."""
REFLECTED_WITHIN: Final = timedelta(hours=6)
"""A receipt or inspection shows on the marketplace within this, or is overdue (R31)."""
NEW_FOR: Final = timedelta(days=7)
"""A field counts as new for this long after it first came (R100): more than its exception's clock."""
MISSING_AFTER: Final = timedelta(hours=1)
"""A shippable order may take this long into the warehouse before it counts as missing (R89)."""
ACK_WITHIN: Final = timedelta(hours=24)
HEALTH_OVER: Final = timedelta(days=1)
"""Over how long a time a lane's latency and outcomes are told."""
SHOWN_WEEKS: Final = timedelta(weeks=13)
"""How far back the tables by week reach."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a table holds now."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """Return the rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    @property
    def kinds(self) -> dict[str, Kind]:
        """Which columns are money, for people to read in major units."""
        return {column: Kind.MONEY for column in self.columns if column.endswith("_minor")}


def stage(con: DuckDBPyConnection, intents: pa.Table, exceptions: pa.Table) -> None:
    """Put the ledger's rows beside the model: ``ledger.writes`` and ``ledger.cases`` (every exception, resolved ones too)."""
    con.execute("CREATE SCHEMA IF NOT EXISTS memory.ledger")
    for name, rows in (("writes", intents), ("cases", exceptions)):
        con.register(f"watched_{name}", rows)
        con.execute(f"CREATE OR REPLACE VIEW memory.ledger.{name} AS SELECT * FROM watched_{name}")
    con.execute("CREATE SCHEMA IF NOT EXISTS memory.watch")
    con.register("watched_values", _known_values())
    con.execute("CREATE OR REPLACE TABLE memory.watch.known_values AS SELECT * FROM watched_values")
    con.unregister("watched_values")


def look(con: DuckDBPyConnection, name: str, shop: Shop, now: datetime) -> Seen:
    """Return a table's rows of a shop at an instant; ``con`` holds the model (``model.attach``) and ``stage`` came first."""
    parameters = _parameters(shop, now)
    stage_tolerances(con, [shop], "watch")
    for other in _RESTS_ON.get(name, ()):
        run_query(con, f"CREATE OR REPLACE TABLE memory.watch.{other} AS {statement(other, PACKAGE)}", parameters)
    found = run_query(con, statement(name, PACKAGE), parameters)
    columns = tuple(column[0] for column in found.description or [])
    return Seen(name, columns, found.fetchall())


def meaning(name: str) -> str:
    """Return what a row of a table is: the comment its statement begins with."""
    lines = []
    for line in statement(name, PACKAGE).splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


@cache
def _known_values() -> pa.Table:
    """Return the enumeration values that are published, so that one more is seen (``known_values.csv``)."""
    text = resources.files(PACKAGE).joinpath("known_values.csv").read_text(encoding="utf-8")
    return pa.Table.from_pylist(list(csv.DictReader(text.splitlines())))


def _parameters(shop: Shop, now: datetime) -> Mapping[str, Any]:
    return MappingProxyType(
        {
            "shop": shop.name,
            "currency": shop.currency,
            "time_zone": shop.time_zone,
            "platform": str(shop.returns.platform),
            "warehouse": "" if shop.warehouse is None else str(shop.warehouse.system),
            "authority": str(shop.policy.stock_authority),
            "buffer": shop.policy.stock_buffer,
            "deadline_hours": shop.policy.refund_deadline_hours,
            "now": now,
            "today": now.date(),
            "stale_before": now - STALE_AFTER,
            "drifted_before": now - DRIFT_AFTER,
            "reflected_before": now - REFLECTED_WITHIN,
            "new_after": now - NEW_FOR,
            "missing_before": now - MISSING_AFTER,
            "health_from": now - HEALTH_OVER,
            "ack_hours": ACK_WITHIN.total_seconds() / 3600,
            "weeks_from": now - SHOWN_WEEKS,
        }
    )
