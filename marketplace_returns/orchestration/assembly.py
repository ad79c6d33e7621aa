"""Everything Dagster loads, put together from the settings.

Here: the one function that makes all definitions. Not here: any asset. The invariants: every asset has group, owner, kinds and
description; nothing is opened and no secret is read while loading.
"""

import warnings

import dagster as dg

from marketplace_returns.orchestration.assets.lanes import lane_assets
from marketplace_returns.orchestration.assets.ledger import ledger_assets
from marketplace_returns.orchestration.assets.model import model_assets
from marketplace_returns.orchestration.assets.monitoring import monitoring_assets
from marketplace_returns.orchestration.assets.reconciliation import month_end_assets
from marketplace_returns.orchestration.assets.sources import source_assets
from marketplace_returns.orchestration.jobs import jobs_of
from marketplace_returns.orchestration.resources import Installation
from marketplace_returns.orchestration.schedules import schedules_of
from marketplace_returns.orchestration.sensors import alerts_sensor, failure_sensor, sensors_of
from marketplace_returns.orchestration.upkeep import lake_maintain, upkeep_schedule
from marketplace_returns.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """Return the assets, checks, jobs, schedules and sensors of every shop of the settings."""
    shops = list(settings.shops.values())
    with warnings.catch_warnings():
        # owners and backfill policies are beta in Dagster; the parts used are tested here.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        return dg.Definitions(
            assets=[
                asset
                for shop in shops
                for asset in (
                    *source_assets(shop),
                    model_assets(shop),
                    *lane_assets(shop),
                    *ledger_assets(shop),
                    *monitoring_assets(shop),
                    month_end_assets(shop),
                )
            ],
            jobs=[*(job for shop in shops for job in jobs_of(shop)), lake_maintain],
            schedules=[
                *(schedule for shop in shops for schedule in schedules_of(shop)),
                upkeep_schedule(is_running=not all(shop.is_sandbox for shop in shops)),
            ],
            sensors=[
                *(sensor for shop in shops for sensor in sensors_of(shop)),
                failure_sensor(shops),
                alerts_sensor(shops),
            ],
            resources={"installation": Installation()},
            # A process per step costs two seconds; runs are side by side by the queue instead.
            executor=dg.in_process_executor,
        )
