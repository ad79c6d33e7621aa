"""Everything of a shop run once in Dagster, in this process, on the instance of the working directory.

Here: the order of the runs, so that a month that was played elsewhere shows in the UI. Not here: what an asset does. The
invariant: the same assets as in ``definitions``, with a clock that is handed in.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from marketplace_returns.clock import Clock
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.assets.lanes import lane_assets
from marketplace_returns.orchestration.assets.ledger import ledger_assets
from marketplace_returns.orchestration.assets.model import model_assets
from marketplace_returns.orchestration.assets.monitoring import monitoring_assets
from marketplace_returns.orchestration.assets.reconciliation import month_end_assets
from marketplace_returns.orchestration.assets.sources import source_assets
from marketplace_returns.orchestration.resources import Installation
from marketplace_returns.periods import Month
from marketplace_returns.settings import Settings, load_settings

PARTITION_RANGE_START = "dagster/asset_partition_range_start"
PARTITION_RANGE_END = "dagster/asset_partition_range_end"
DAYS_READ_AGAIN = 3


def materialise_everything(shop_name: str, month: Month, clock: Clock) -> None:
    """Read the last days of a month again, then compute, decide and send what is due, then close the month.

    Some days and not the month, for each day of each stream costs Dagster a tenth of a second of bookkeeping.

    Needs DAGSTER_HOME. Raises dagster.DagsterError or dagster.Failure where a run fails.
    """
    settings = load_settings()
    shop = settings.shop(shop_name)
    with warnings.catch_warnings(), dg.DagsterInstance.get() as instance:
        warnings.simplefilter("ignore")
        sources = source_assets(shop)
        by_days = [asset for asset in sources if asset.partitions_def is not None]
        in_full = [asset for asset in sources if asset.partitions_def is None]
        days = {
            PARTITION_RANGE_START: (month.last_day - timedelta(days=DAYS_READ_AGAIN - 1)).isoformat(),
            PARTITION_RANGE_END: month.last_day.isoformat(),
        }
        _run(by_days, settings, clock, instance, tags=days)
        _run(
            [*in_full, model_assets(shop), *lane_assets(shop), *ledger_assets(shop), *monitoring_assets(shop)],
            settings,
            clock,
            instance,
        )
        _run([month_end_assets(shop)], settings, clock, instance, partition=str(month))


def _run(
    assets: Sequence[dg.AssetsDefinition],
    settings: Settings,
    clock: Clock,
    instance: dg.DagsterInstance,
    *,
    tags: dict[str, str] | None = None,
    partition: str | None = None,
) -> None:
    class InstallationAtClock(Installation):
        """The installation, living by the clock that was handed in."""

        def open(self) -> App:
            """Return the opened installation; the same one for the whole run."""
            if self._app is None:
                self._app = App.open(settings, clock)
            return self._app

    dg.materialize(
        list(assets),
        resources={"installation": InstallationAtClock()},
        instance=instance,
        tags=tags,
        partition_key=partition,
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )
