"""The lanes: one module per promise we make, each a pure decision.

A lane reads the model, the policy and the mappings, and returns plans of writes and of exceptions; it sends nothing and
knows no state of its own. The invariant: same input, same decision (R99).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marketplace_returns.lanes import (
    accept_orders,
    cancelations,
    closing,
    despatch,
    drift,
    expected_receipts,
    incidents,
    marketplace_returns,
    platform_returns,
    refunds,
    restock,
    stock,
    warehouse_orders,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lanes.plan import LaneDecision
    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

    Decide = Callable[[DuckDBPyConnection, Shop, Mappings, datetime], LaneDecision]

LANES: Final[Mapping[str, Decide]] = MappingProxyType(
    {
        lane.LANE: lane.decide
        for lane in (
            accept_orders,
            warehouse_orders,
            despatch,
            platform_returns,
            marketplace_returns,
            expected_receipts,
            closing,
            refunds,
            stock,
            restock,
            incidents,
            cancelations,
            drift,
        )
    }
)
"""Every lane by name, most urgent first."""
