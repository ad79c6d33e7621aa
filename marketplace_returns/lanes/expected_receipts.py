"""Promise: the warehouse expects every return before the parcel comes (R52, R90).

Plans one returns purchase order per accepted return, numbered ``RTN-<return id>``, so that no parcel is received blind.
"""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from marketplace_returns.lanes.plan import IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "expected_receipts"


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan an expected receipt for every accepted return the warehouse does not expect yet."""
    if shop.warehouse is None:
        return LaneDecision(lane=LANE, shop=shop.name, intents=(), exceptions=(), considered=0)
    intents: list[IntentPlan] = []
    announced = rows(con, LANE, shop=shop.name)
    for return_id, group in groupby(announced, key=lambda row: str(row["return_id"])):
        lines = list(group)
        intents.append(
            IntentPlan(
                shop=shop.name,
                kind=WriteKind.CREATE_EXPECTED_RECEIPT,
                natural_key=return_id,
                order_id=lines[0]["order_id"],
                return_id=return_id,
                body={
                    "purchase_order_number": f"RTN-{return_id}",
                    "reference": lines[0]["order_id"],
                    "requested_at": lines[0]["created_at"].isoformat(),
                    "items": [
                        {"line": str(place), "item_code": line["item_code"], "quantity": line["quantity"]}
                        for place, line in enumerate(lines, start=1)
                    ],
                },
                evidence={"return_payload": lines[0]["payload_hash"], "mapping_version": mappings.version},
            )
        )
    return LaneDecision(lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=(), considered=len(intents))
