"""What the returns platforms report, in one form: the views ``reported.returns``, ``reported.items`` and ``reported.refunds``.

Here live one folder of ``.sql`` per platform, each a SELECT with the columns of ``COLUMNS``, and the few lines that put
their union into a connection. What must not live here: canonical words in the columns (``model`` maps them; where a platform tells
the time of its words only, ``mapping.statuses`` says which of them is an arrival) or decisions. The invariant:
only the platforms that the settings use are read, so a shop pays nothing for the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marketplace_returns.lake.sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PACKAGE: Final = "marketplace_returns.model.reported"
COLUMNS: Final = MappingProxyType(
    {
        # Key: (shop, platform_return_id). platform_status is the platform's own word; amounts are its own, never refunded (R3).
        "returns": (
            "shop",
            "platform",
            "platform_return_id",
            "external_id",
            "order_id",
            "platform_status",
            "is_instant",
            "currency",
            "refund_amount_minor",
            "carrier",
            "tracking_number",
            "label_url",
            "created_at",
            "updated_at",
            "shipped_at",
            "received_at",
            "resolved_at",
            "payload_hash",
        ),
        # Key: (shop, platform_return_id, item_id). return_reason is the platform's own word. disposition_code and inspected_at are null until someone inspected the
        # item; is_outcome_due: the platform waits to be told what became of it.
        "items": (
            "shop",
            "platform",
            "platform_return_id",
            "item_id",
            "order_line_id",
            "sku",
            "received_sku",
            "quantity",
            "return_reason",
            "disposition_code",
            "inspected_at",
            "is_outcome_due",
            "payload_hash",
        ),
        # Key: (shop, platform_refund_id). What the platform itself says it paid; status PENDING, EXECUTED,
        # FAILED, or RECORDED (a refund of the marketplace that it was told of).
        "refunds": (
            "shop",
            "platform",
            "platform_return_id",
            "platform_refund_id",
            "currency",
            "amount_minor",
            "status",
            "executed_at",
            "is_advance",
            "payload_hash",
        ),
    }
)


def attach_reported(con: DuckDBPyConnection, platforms: Iterable[str]) -> None:
    """Make the views of schema ``reported`` over the tables of these platforms; of all there are, where none is named.

    The connection has the tables of ``mapping`` already.
    """
    used = sorted(set(platforms)) or sorted(
        folder.name
        for folder in resources.files(PACKAGE).iterdir()
        if folder.is_dir() and not folder.name.startswith("_")
    )
    con.execute("DROP SCHEMA IF EXISTS memory.reported CASCADE")
    con.execute("CREATE SCHEMA memory.reported")
    for view, columns in COLUMNS.items():
        parts = [f"SELECT {', '.join(columns)} FROM ({statement(f'{platform}/{view}', PACKAGE)})" for platform in used]
        con.execute(f"CREATE OR REPLACE VIEW memory.reported.{view} AS {' UNION ALL '.join(parts)}")


def compute_reported(con: DuckDBPyConnection, shop: str) -> None:
    """Turn the views into tables of one shop's rows, until ``attach_reported`` comes again: a pass reads them a dozen times."""
    for view in COLUMNS:
        con.execute(
            f"CREATE TABLE memory.reported.computed AS SELECT * FROM memory.reported.{view} WHERE shop = $shop",
            {"shop": shop},
        )
        con.execute(f"DROP VIEW memory.reported.{view}")
        con.execute(f"ALTER TABLE memory.reported.computed RENAME TO {view}")
