"""Puts the model's views into a connection, and extends the assignments that must never move."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from marketplace_returns.lake.connection import one_snapshot, side_by_side, snapshot_of
from marketplace_returns.lake.sql import statement
from marketplace_returns.model.reported import attach_reported, compute_reported

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake
    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Settings

PACKAGE = "marketplace_returns.model"
# In the order they build on each other.
MODEL_VIEWS: tuple[str, ...] = (
    "orders",
    "order_lines",
    "refunds",
    "despatches",
    "platform_returns",
    "return_cases",
    "return_names",
    "receipts",
    "return_units",
    "expected_receipts",
    "warehouse_stock",
    "stock",
    "events",
)

# Asked for one order at a time, so computing it whole would be waste.
_NEVER_COMPUTED = frozenset({"events"})
_REPORTED = "reported"
# Two lines of views that need nothing of each other and take about as long; what is left of the model needs both.
_APART = (
    (_REPORTED, "platform_returns", "receipts", "return_cases", "return_names"),
    ("orders", "order_lines", "refunds", "despatches", "warehouse_stock", "stock", "expected_receipts"),
)
_AFTER = ("return_units", "events")

_ASSIGNMENTS = (
    ("assign_return_units", "lake.core.return_unit_assignments"),
    ("assign_platform_units", "lake.core.return_unit_assignments"),
    ("assign_receipts", "lake.core.receipt_assignments"),
)

PLATFORM_LINKS = pa.schema([("shop", pa.string()), ("return_id", pa.string()), ("platform_return_id", pa.string())])
"""The platform returns that our confirmed writes made, for which marketplace returns."""

READS = pa.schema([("shop", pa.string()), ("stream", pa.string()), ("read_at", pa.timestamp("us", tz="UTC"))])
"""Up to when each stream was read; for a full list, when its last reading began."""


Keep = Callable[[str, pa.Table], None]
"""Is given the new rows of an assignment table, by its name, before the lake has them."""


@dataclass(frozen=True)
class LedgerFacts:
    """What the model takes from the ledger: tables with the columns of ``PLATFORM_LINKS`` and ``READS``."""

    platform_links: pa.Table = field(default_factory=PLATFORM_LINKS.empty_table)
    reads: pa.Table = field(default_factory=READS.empty_table)


def attach(con: DuckDBPyConnection, settings: Settings, mappings: Mappings, facts: LedgerFacts | None = None) -> None:
    """Make the schema ``model`` of views in the connection's memory, with what they need; see ``attach_facts``."""
    attach_facts(con, settings, mappings, facts)
    with one_snapshot(con):
        for view in MODEL_VIEWS:
            con.execute(statement(view, PACKAGE))


def attach_facts(
    con: DuckDBPyConnection, settings: Settings, mappings: Mappings, facts: LedgerFacts | None = None
) -> None:
    """Make the schemas ``setting``, ``mapping``, ``ledger`` and ``reported``, and an empty ``model``, in the connection's memory.

    Args:
        con: A connection with the lake attached as ``lake``.
        settings: Gives ``setting.shops`` (shop, currency, time_zone, platform, how order names are read, is_inspected_by_warehouse,
            begins_on_platform, sites), and the platforms
            whose reports are read (schema ``reported``).
        mappings: Gives one table each in ``mapping``.
        facts: Gives ``ledger.platform_links`` and ``ledger.reads``; empty ones where it is None.
    """
    con.execute("DROP SCHEMA IF EXISTS memory.model CASCADE")
    for schema in ("ledger", "model"):
        con.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{schema}")
    attach_reports(con, settings, mappings)
    facts = facts or LedgerFacts()
    _replace(con, "ledger.platform_links", facts.platform_links)
    _replace(con, "ledger.reads", facts.reads)
    con.execute(statement("macros", PACKAGE))


def attach_reports(con: DuckDBPyConnection, settings: Settings, mappings: Mappings) -> None:
    """Make the schemas ``setting``, ``mapping`` and ``reported``: what the shops' returns platforms report."""
    shops = pa.table(
        {
            "shop": [shop.name for shop in settings.shops.values()],
            "currency": [shop.currency for shop in settings.shops.values()],
            "time_zone": [shop.time_zone for shop in settings.shops.values()],
            "platform": [str(shop.returns.platform) for shop in settings.shops.values()],
            "order_name_strip": [shop.returns.order_name_strip for shop in settings.shops.values()],
            "is_order_name_folded": [shop.returns.order_name_fold_case for shop in settings.shops.values()],
            "is_inspected_by_warehouse": [shop.inspected_by == "warehouse" for shop in settings.shops.values()],
            "begins_on_platform": [shop.policy.return_origin == "platform" for shop in settings.shops.values()],
            "sites": [list(shop.warehouse.sites) if shop.warehouse else [] for shop in settings.shops.values()],
        },
        schema=pa.schema(
            [
                ("shop", pa.string()),
                ("currency", pa.string()),
                ("time_zone", pa.string()),
                ("platform", pa.string()),
                ("order_name_strip", pa.string()),
                ("is_order_name_folded", pa.bool_()),
                ("is_inspected_by_warehouse", pa.bool_()),
                ("begins_on_platform", pa.bool_()),
                ("sites", pa.list_(pa.string())),
            ]
        ),
    )
    made_of = f"{mappings.version} {shops.to_pylist()}"
    if con.execute("SELECT getvariable('mappings_made_of')").fetchall() != [
        (made_of,)
    ]:  # they are many, and rarely change
        for schema in ("setting", "mapping"):
            con.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{schema}")
        _replace(con, "setting.shops", shops)
        for name, frame in mappings.frames().items():
            _replace(con, f"mapping.{name}", frame)
        con.execute("SET VARIABLE mappings_made_of = ?", [made_of])
    attach_reported(con, platforms_of(settings))


def platforms_of(settings: Settings) -> list[str]:
    """Return the returns platforms that some shop uses."""
    return sorted({str(shop.returns.platform) for shop in settings.shops.values()})


def compute(con: DuckDBPyConnection, shop: str, *, is_lake: bool = True, without: Collection[str] = frozenset()) -> int:
    """Compute the model of one shop: tables of its rows as they are now, in place of views; ``con`` is fresh from ``attach_facts``.

    ``is_lake`` says whether ``con`` has a real lake, of which two halves of the model can be read side by side, ``without`` which
    views nobody asks for here; returns the snapshot that the model is of (0 where it is no real lake).
    """
    seen: list[int] = []
    apart = [[view for view in views if view not in without] for views in _APART]
    if is_lake:
        seen = side_by_side(con, [partial(_compute_line, views, shop) for views in apart])
    with one_snapshot(con):
        version = snapshot_of(con) if is_lake else 0
        if set(seen) != {version}:  # no real lake, or a writer came between: all of the model is of one state
            if seen:  # whose reports are tables already
                used = con.execute("SELECT DISTINCT platform FROM memory.setting.shops").fetchall()
                attach_reported(con, [platform for (platform,) in used])
            for views in apart:
                _compute_views(con, views, shop)
        _compute_views(con, _AFTER, shop)
    return version


def _compute_line(views: Sequence[str], shop: str, con: DuckDBPyConnection) -> int:
    """Compute some views and return the snapshot of the lake they are of."""
    _compute_views(con, views, shop)
    return snapshot_of(con)


def _compute_views(con: DuckDBPyConnection, views: Sequence[str], shop: str) -> None:
    for view in views:
        if view == _REPORTED:
            compute_reported(con, shop)
        elif view in _NEVER_COMPUTED:
            con.execute(statement(view, PACKAGE))
        else:
            _compute(con, view, shop)


def assign_return_units(
    lake: Lake, con: DuckDBPyConnection, shop: str, run_id: str, now: datetime, *, keep: Keep | None = None
) -> int:
    """Compute the model of one shop, give new return units their ordinals and new receipts their units.

    The model of this connection is tables that hold this shop as it was now, so that the lanes decide on one state and
    plan nothing twice (a view on views costs DuckDB half a second of planning each time it is asked).
    Writes ``core.return_unit_assignments`` and ``core.receipt_assignments``, each row once for good (I7, R109); returns
    how many. ``con`` must be fresh from :func:`attach_facts`. ``keep`` is given the new rows and their table's name before the lake is.
    """
    seen = compute(con, shop)
    written = 0
    for name, target in _ASSIGNMENTS:
        if not _give(con, name, shop, now):
            continue

        def ready(name: str = name, target: str = target, seen: int = seen) -> None:
            # Two passes of a shop may give at once: in our turn we give what the other has not.
            if snapshot_of(con) != seen:
                _compute(con, "return_units", shop)
                _give(con, name, shop, now)
            if keep is not None:
                keep(target.rpartition(".")[2], con.table(f"memory.model.{name}").to_arrow_table())

        append = partial(_append, name=name, target=target)
        written += lake.transact(con, run_id, f"{name} of {shop}", append, ready=ready)
        seen = snapshot_of(con)
        _compute(con, "return_units", shop)
    return written


def _give(con: DuckDBPyConnection, name: str, shop: str, now: datetime) -> int:
    """Make ``model.<name>``, the rows an assignment table lacks; return how many."""
    con.execute(
        f"CREATE OR REPLACE TABLE memory.model.{name} AS {statement(name, PACKAGE)}",
        {"shop": shop, "assigned_at": now},
    )
    ((found,),) = con.execute(f"SELECT count(*) FROM memory.model.{name}").fetchall()
    return int(found)


def _compute(con: DuckDBPyConnection, view: str, shop: str) -> None:
    """Make a table of one shop's rows of what would be a view."""
    query = statement(view, PACKAGE).partition(" AS\n")[2].rstrip().removesuffix(";")
    con.execute(
        f"CREATE OR REPLACE TABLE memory.model.{view} AS SELECT * FROM ({query}) WHERE shop = $shop", {"shop": shop}
    )


def _append(con: DuckDBPyConnection, *, name: str, target: str) -> int:
    ((added,),) = con.execute(f"INSERT INTO {target} BY NAME SELECT * FROM memory.model.{name}").fetchall()
    return int(added)


def _replace(con: DuckDBPyConnection, name: str, frame: pa.Table) -> None:
    """Make ``memory.<name>`` hold exactly the rows of a frame."""
    con.register("incoming_frame", frame)
    con.execute(f"CREATE OR REPLACE TABLE memory.{name} AS SELECT * FROM incoming_frame")
    con.unregister("incoming_frame")
