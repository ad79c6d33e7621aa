"""The jobs of a shop: which assets run together.

Here: names, selections and queue tags. Not here: when they run (``schedules``, ``sensors``). The invariants: polls are apart
from decisions and sending, so that one dead source stops no promise (acceptance alone needs but one source, and pulls it itself);
no job has retries.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from marketplace_returns.lanes import LANES
from marketplace_returns.model import MODEL_VIEWS
from marketplace_returns.orchestration.assets.lanes import lane_key
from marketplace_returns.orchestration.assets.ledger import exceptions_key, writes_key
from marketplace_returns.orchestration.assets.model import model_key
from marketplace_returns.orchestration.assets.monitoring import WATCHED, monitoring_key
from marketplace_returns.orchestration.assets.reconciliation import month_end_key
from marketplace_returns.orchestration.assets.sources import source_key
from marketplace_returns.orchestration.inbox import drain_inbox
from marketplace_returns.orchestration.resources import Installation, told_plainly
from marketplace_returns.orchestration.streams import ORDERS, Stream, streams_of
from marketplace_returns.reconciliation.tables import PACK_TABLES
from marketplace_returns.settings import Shop

URGENT = {"dagster/priority": "10", "lane": "urgent", "dagster/max_runtime": "900"}
ROUTINE = {"dagster/priority": "0", "lane": "routine", "dagster/max_runtime": "3600"}
SLOW = {"dagster/priority": "-5", "lane": "slow", "dagster/max_runtime": "7200"}


def poll_job_name(shop: Shop, stream: Stream) -> str:
    """Return the name of the job that polls a stream."""
    return f"{shop.name}_poll_{stream.source}_{stream.noun}"


def work_job_name(shop: Shop) -> str:
    """Return the name of the job that decides every lane and sends what is due."""
    return f"{shop.name}_work"


def acceptance_job_name(shop: Shop) -> str:
    """Return the name of the job that pulls orders and accepts those that wait, in one run."""
    return f"{shop.name}_accept_orders"


def writes_job_name(shop: Shop) -> str:
    """Return the name of the job that sends what is due and settles what is unclear."""
    return f"{shop.name}_writes"


def webhooks_job_name(shop: Shop) -> str:
    """Return the name of the job that reads again what webhooks point at."""
    return f"{shop.name}_webhooks"


def watch_job_name(shop: Shop, cadence: str) -> str:
    """Return the name of the job that looks at the monitoring tables of a cadence: hourly, daily or monthly."""
    return f"{shop.name}_watch_{cadence}"


def close_job_name(shop: Shop) -> str:
    """Return the name of the job that makes the month-end tables."""
    return f"{shop.name}_close"


def jobs_of(shop: Shop) -> list[Any]:
    """Return the jobs of a shop."""
    tags: Mapping[str, str] = {"shop": shop.name}
    polls = [
        dg.define_asset_job(
            poll_job_name(shop, stream),
            selection=dg.AssetSelection.assets(source_key(shop, stream)),
            description=f"Polls {stream.meaning[0].lower()}{stream.meaning[1:]}. Sends nothing.",
            tags={**tags, **(ROUTINE if stream.poll_every < timedelta(days=1) else SLOW)},
        )
        for stream in streams_of(shop)
    ]
    decisions = [
        *(model_key(shop, view) for view in MODEL_VIEWS),
        *(lane_key(shop, lane) for lane in LANES),
        writes_key(shop),
        exceptions_key(shop),
    ]
    return [
        *polls,
        # One run from pull to acceptance: a run for each would take a start and a sensor's tick more (R14).
        dg.define_asset_job(
            acceptance_job_name(shop),
            selection=dg.AssetSelection.assets(
                source_key(shop, ORDERS),
                model_key(shop, "orders"),
                lane_key(shop, "accept_orders"),
                writes_key(shop),
            ),
            description="Pulls new orders, decides on their acceptance and sends it, with whatever else is due.",
            tags={**tags, **URGENT},
        ),
        dg.define_asset_job(
            work_job_name(shop),
            selection=dg.AssetSelection.assets(*decisions),
            description="Decides every lane on what the lake holds, sends what is due, settles what is unclear.",
            tags={**tags, **URGENT},
        ),
        dg.define_asset_job(
            writes_job_name(shop),
            selection=dg.AssetSelection.assets(writes_key(shop), exceptions_key(shop)),
            description="Sends what is due and reads back what is unclear; decides nothing new.",
            tags={**tags, **URGENT},
        ),
        _webhooks_job(shop),
        *(
            dg.define_asset_job(
                watch_job_name(shop, cadence),
                selection=dg.AssetSelection.assets(*(monitoring_key(shop, table) for table in tables)),
                description=f"Looks at the {cadence} monitoring tables and keeps their exceptions in step. Sends nothing.",
                tags={**tags, **ROUTINE},
            )
            for cadence, tables in WATCHED.items()
        ),
        dg.define_asset_job(
            close_job_name(shop),
            selection=dg.AssetSelection.assets(*(month_end_key(shop, table.name) for table in PACK_TABLES)),
            description="Makes the month-end tables and proofs of a month. Sends nothing.",
            tags={**tags, **SLOW},
        ),
    ]


def _webhooks_job(shop: Shop) -> dg.JobDefinition:
    """Return the job that drains a shop's webhook inbox; what it reads starts the lanes, as any new fact does."""
    name = webhooks_job_name(shop)

    @dg.op(
        name=f"{shop.name}_drain_webhooks",
        description="Reads again from its source every object that a webhook points at. Sends nothing.",
        pool=name,
    )
    def drain(context: dg.OpExecutionContext, installation: Installation) -> None:
        with told_plainly():
            done = drain_inbox(installation.open(), shop.name, run_id=context.run.run_id)
        context.log.info(
            "%d events: %d read again, %d gone, %d of no use, %d wait",
            *(done.taken, done.read, done.gone, done.unused, done.waiting),
        )
        for failure in done.failures:
            context.log.warning("%s: %s", failure.stream, failure.message)

    @dg.job(
        name=name,
        tags={"shop": shop.name, **URGENT},
        description="Reads again what webhooks point at. Sends nothing; the lanes decide on what it brought.",
    )
    def drain_webhooks() -> None:
        drain()

    return drain_webhooks
