"""The lake's upkeep for an installation.

Here: which snapshots must stay. Not here: how files are merged (``lake.maintenance``). The invariant: the snapshot of every
signed or locked month is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from marketplace_returns.lake.maintenance import MaintenanceReport, maintain

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App


def maintain_lake(app: App, *, run_id: str, on_progress: Callable[[str], None] | None = None) -> MaintenanceReport:
    """Merge small files, expire snapshots no signed month needs, remove orphans; LakeBusy where others hold the lake.

    Webhook events that were drained longer than ``webhooks.keep_days`` ago are forgotten too.
    """
    inbox = app.inbox()
    if inbox is not None:
        inbox.forget(app.clock.now() - timedelta(days=app.settings.webhooks.keep_days))
    signed = {
        int(period.lake_snapshot)
        for shop in app.settings.shops
        for period in app.ledger.periods(shop)
        if period.lake_snapshot
    }
    return maintain(app.lake, app.clock.now(), signed, run_id=run_id, on_progress=on_progress)
