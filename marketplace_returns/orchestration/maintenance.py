"""The lake's upkeep for an installation.

Here: which snapshots must stay. Not here: how files are merged (``lake.maintenance``). The invariant: the snapshot of every
month that is in review, signed or locked is kept, of shops that have left the settings too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from marketplace_returns.lake.maintenance import MaintenanceReport, maintain
from marketplace_returns.orchestration.privacy import Ended, end_what_is_over

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What the upkeep did with the lake's files, and which personal data it ended."""

    files: MaintenanceReport
    personal: Ended


def maintain_lake(app: App, *, run_id: str, on_progress: Callable[[str], None] | None = None) -> Upkeep:
    """Merge small files, expire snapshots no closed month needs, remove orphans; end personal data whose time is over.

    Webhook events that were drained longer than ``webhooks.keep_days`` ago are forgotten too. Raises LakeBusy where others hold
    the lake.
    """
    inbox = app.inbox()
    if inbox is not None:
        inbox.forget(app.clock.now() - timedelta(days=app.settings.webhooks.keep_days))
    ended = end_what_is_over(app, run_id=run_id, say=on_progress or (lambda _: None))
    kept = app.ledger.kept_snapshots()
    return Upkeep(maintain(app.lake, app.clock.now(), kept, on_progress=on_progress), ended)
