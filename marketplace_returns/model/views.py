"""Puts the model's views into a connection, and extends the assignments that must never move."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake
    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Settings

# In the order they build on each other.
MODEL_VIEWS: tuple[str, ...] = (
    "orders",
    "order_lines",
    "refunds",
    "despatches",
    "platform_returns",
    "return_cases",
    "receipts",
    "return_units",
    "stock",
    "events",
)

_LINKS = pa.schema([("shop", pa.string()), ("return_id", pa.string()), ("platform_return_id", pa.string())])


@cache
def statement(name: str, package: str = "marketplace_returns.model") -> str:
    """Return the text of ``<name>.sql`` of a package."""
    return resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def attach(
    con: DuckDBPyConnection, settings: Settings, mappings: Mappings, platform_links: pa.Table | None = None
) -> None:
    """Make the schemas ``setting``, ``mapping``, ``ledger`` and ``model`` in the connection's memory.

    Args:
        con: A connection with the lake attached as ``lake``.
        settings: Gives ``setting.shops`` (shop, currency, time_zone, platform, has_warehouse).
        mappings: Gives one table each in ``mapping``.
        platform_links: (shop, return_id, platform_return_id) of the platform returns that our confirmed writes made.
    """
    shops = pa.table(
        {
            "shop": [shop.name for shop in settings.shops.values()],
            "currency": [shop.currency for shop in settings.shops.values()],
            "time_zone": [shop.time_zone for shop in settings.shops.values()],
            "platform": [str(shop.returns.platform) for shop in settings.shops.values()],
            "has_warehouse": [shop.warehouse is not None for shop in settings.shops.values()],
        },
        schema=pa.schema(
            [
                ("shop", pa.string()),
                ("currency", pa.string()),
                ("time_zone", pa.string()),
                ("platform", pa.string()),
                ("has_warehouse", pa.bool_()),
            ]
        ),
    )
    for schema in ("setting", "mapping", "ledger", "model"):
        con.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{schema}")
    _replace(con, "setting.shops", shops)
    for name, frame in mappings.frames().items():
        _replace(con, f"mapping.{name}", frame)
    _replace(con, "ledger.platform_links", platform_links if platform_links is not None else _LINKS.empty_table())
    con.execute(statement("macros"))
    for view in MODEL_VIEWS:
        con.execute(statement(view))


def assign_return_units(lake: Lake, con: DuckDBPyConnection, shop: str, run_id: str, now: datetime) -> int:
    """Give new return units their ordinals and new receipts their units; return how many rows were written.

    Writes ``core.return_unit_assignments`` and ``core.receipt_assignments`` in one short transaction, each row once
    for good (I7, R109). ``con`` must have been through :func:`attach`.
    """

    def work(con: DuckDBPyConnection) -> int:
        written = 0
        for name in ("assign_return_units", "assign_receipts"):
            rows = con.execute(statement(name), {"shop": shop, "assigned_at": now}).fetchall()
            written += int(rows[0][0]) if rows else 0
        return written

    return lake.transact(con, run_id, f"assign return units of {shop}", work)


def _replace(con: DuckDBPyConnection, name: str, frame: pa.Table) -> None:
    """Make ``memory.<name>`` hold exactly the rows of a frame."""
    con.register("incoming_frame", frame)
    con.execute(f"CREATE OR REPLACE TABLE memory.{name} AS SELECT * FROM incoming_frame")
    con.unregister("incoming_frame")
