"""What the lake knows of ReturnGO's RMAs, for the plan by which they are read.

Here: when an RMA was read last, and which may still change unseen. Not here: the plan (``sources/returngo/reading``).
Invariant: an RMA counts as read only once its payload is in the lake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from marketplace_returns.lake.connection import literal
from marketplace_returns.sources.returngo.reading import REST_AFTER, Known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

END_STATUSES: Final = ("Done", "Rejected", "Canceled")


class RmaMemory:
    """The RMAs of a shop as the lake has them."""

    def __init__(self, con: DuckDBPyConnection, shop: str) -> None:
        self._con = con
        self._shop = shop

    def known(self, rma_ids: Sequence[str]) -> Mapping[str, Known]:
        """Return what is known of each of the RMAs; those never read are absent."""
        if not rma_ids:
            return {}
        rows = self._con.execute(
            f"""
            SELECT platform_return_id, read_at, updated_at FROM lake.core.returngo__rmas
            WHERE shop = {literal(self._shop)} AND list_contains(?, platform_return_id)
            """,
            [list(rma_ids)],
        ).fetchall()
        return {rma_id: Known(read_at, updated_at) for rma_id, read_at, updated_at in rows}

    def not_at_rest(self, limit: int) -> Sequence[str]:
        """Return RMAs without an end status, or read within an hour of their last update; the one read longest ago first."""
        return [
            rma_id
            for (rma_id,) in self._con.execute(
                f"""
                SELECT platform_return_id FROM lake.core.returngo__rmas
                WHERE shop = {literal(self._shop)}
                    AND (NOT list_contains(?, status) OR read_at < updated_at + ?)
                ORDER BY read_at, platform_return_id
                LIMIT ?
                """,
                [list(END_STATUSES), REST_AFTER, limit],
            ).fetchall()
        ]
