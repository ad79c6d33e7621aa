"""What the lake knows of ReturnGO's RMAs, for the plan by which they are read.

Here: when an RMA was read last, and which may still change unseen. Not here: the plan (``sources/returngo/reading``).
Invariant: an RMA counts as read only once its payload is in the lake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from marketplace_returns.lake.connection import literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from duckdb import DuckDBPyConnection

END_STATUSES: Final = ("Done", "Rejected", "Canceled")
REST_AFTER: Final = "1 hour"
"""An RMA with an end status is at rest when it was read so long after its last update: late writers have written by then."""


class RmaMemory:
    """The RMAs of a shop as the lake has them."""

    def __init__(self, con: DuckDBPyConnection, shop: str) -> None:
        self._con = con
        self._shop = shop

    def read_at(self, rma_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when each of the RMAs was read last; those never read are absent."""
        if not rma_ids:
            return {}
        return dict(
            self._con.execute(
                f"""
                SELECT platform_return_id, read_at FROM lake.core.returngo__rmas
                WHERE shop = {literal(self._shop)} AND list_contains(?, platform_return_id)
                """,
                [list(rma_ids)],
            ).fetchall()
        )

    def not_at_rest(self, limit: int) -> Sequence[str]:
        """Return RMAs without an end status, or read too soon after their last update; the one read longest ago first."""
        return [
            rma_id
            for (rma_id,) in self._con.execute(
                f"""
                SELECT platform_return_id FROM lake.core.returngo__rmas
                WHERE shop = {literal(self._shop)}
                    AND (NOT list_contains(?, status) OR read_at < updated_at + INTERVAL '{REST_AFTER}')
                ORDER BY read_at, platform_return_id
                LIMIT ?
                """,
                [list(END_STATUSES), limit],
            ).fetchall()
        ]
