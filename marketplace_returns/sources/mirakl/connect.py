"""From a shop's settings to a client that may call.

Here lives the assembly of a MiraklClient: address, key, time-outs, budget. What must not live here: operations. The
invariant: a client for another host than this machine always has a call budget.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from marketplace_returns.clock import Clock
from marketplace_returns.settings import Settings, Shop
from marketplace_returns.sources.budget import Budget, NoBudget, SharedBudget
from marketplace_returns.sources.http import CallLog, HttpSource
from marketplace_returns.sources.mirakl.client import MiraklClient
from marketplace_returns.sources.mirakl.frequencies import ceilings

SYSTEM = "mirakl"
BUDGET_FILE = "call_budget.sqlite"


def connect(
    settings: Settings, shop: Shop, *, clock: Clock, log: CallLog, transport: httpx.BaseTransport | None = None
) -> MiraklClient:
    """Make the client of a shop; raises BadSettings when its key is missing. Close it when done."""
    http = HttpSource(
        SYSTEM,
        shop.mirakl.base_url,
        {"Authorization": shop.mirakl.secret()},  # the bare key, no "Bearer"
        timing=settings.timing,
        budget=open_budget(settings, shop, clock),
        clock=clock,
        log=log,
        shop=shop.name,
        transport=transport,
    )
    return MiraklClient(shop, http)


def open_budget(settings: Settings, shop: Shop, clock: Clock) -> Budget:
    """Open the call budget that all processes of this installation share; the sandbox has none (settings hold it local)."""
    if shop.mirakl.call_profile == "sandbox":
        return NoBudget()
    database: Path | str = settings.ledger_url or Path(settings.data_dir) / BUDGET_FILE
    return SharedBudget(database, SYSTEM, shop.name, ceilings(shop.mirakl.call_profile), clock)
