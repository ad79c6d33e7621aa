"""The lake's upkeep as a job of the installation.

Here: the daily job that merges small files and drops old snapshots. Not here: how. The invariant: snapshots of closed
months are kept.
"""

import dagster as dg

from marketplace_returns.orchestration.jobs import SLOW
from marketplace_returns.orchestration.maintenance import maintain_lake
from marketplace_returns.orchestration.resources import Installation, told_plainly


@dg.op(description="Merges small files, expires old snapshots outside closed months, removes orphans.")
def tidy_lake(context: dg.OpExecutionContext, installation: Installation) -> None:
    """Tidy the lake and show what was done."""
    with told_plainly():
        done = maintain_lake(installation.open(), run_id=context.run.run_id, on_progress=context.log.info)
    context.log.info("%s", done)


@dg.job(name="lake_maintain", tags={**SLOW, "shop": "all"}, description="Keeps the lake small and quick.")
def lake_maintain() -> None:
    """Tidy the lake."""
    tidy_lake()


def upkeep_schedule(*, is_running: bool) -> dg.ScheduleDefinition:
    """Return the daily schedule of the upkeep."""
    return dg.ScheduleDefinition(
        name="lake_maintain_schedule",
        job=lake_maintain,
        cron_schedule="0 5 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if is_running else dg.DefaultScheduleStatus.STOPPED,
    )
