"""What runs by the clock.

Here: the polls within the marketplace's call frequencies, the nightly rehearsal, the month-end and the lake's upkeep. Not
here: urgent work (``sensors``). The invariants: a poll goes on from the stored cursor whatever the clock says, and a
month is closed only when every stream it rests on was read past its end.
"""

from datetime import UTC, date, timedelta
from typing import Any

import dagster as dg

from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.assets.sources import source_key
from marketplace_returns.orchestration.jobs import close_job_name, poll_job_name, watch_job_name
from marketplace_returns.orchestration.month import unread_streams
from marketplace_returns.orchestration.sensors import opened
from marketplace_returns.orchestration.signals import was_read_within
from marketplace_returns.orchestration.streams import ORDERS, Reads, Stream, streams_of
from marketplace_returns.periods import Month, local_day
from marketplace_returns.settings import Shop, load_settings

# Every hour; each morning before work; on the first of the month (R70).
_WATCHES = {"hourly": "50 * * * *", "daily": "15 5 * * *", "monthly": "45 5 1 * *"}


def schedules_of(shop: Shop) -> list[dg.ScheduleDefinition]:
    """Return the schedules of a shop; those of a sandbox shop wait until a person turns them on."""
    status = dg.DefaultScheduleStatus.STOPPED if shop.is_sandbox else dg.DefaultScheduleStatus.RUNNING
    polls = [_poll(shop, stream, position, status) for position, stream in enumerate(streams_of(shop))]
    watches = [_watch(shop, cadence, cron, status) for cadence, cron in _WATCHES.items()]
    return [*polls, *watches, _rehearsal(shop, status), _month_end(shop, status)]


def _poll(shop: Shop, stream: Stream, position: int, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{poll_job_name(shop, stream)}_schedule",
        cron_schedule=_cron(stream.poll_every, position),
        job_name=poll_job_name(shop, stream),
        execution_timezone=shop.time_zone,
        default_status=status,
        description=f"Goes on from the stored cursor of {stream.name}.",
    )
    def poll(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if stream.name == ORDERS.name:  # what was just read for acceptance costs no further call
            with opened() as app:
                if was_read_within(app, shop.name, stream.name, stream.poll_every / 2):
                    return dg.SkipReason("read for acceptance just now")
        day = local_day(context.scheduled_execution_time.astimezone(UTC), shop.time_zone)
        return dg.RunRequest(
            partition_key=day.isoformat() if stream.reads is Reads.WINDOW else None,
            run_config={"ops": {source_key(shop, stream).to_python_identifier(): {"config": {"poll": True}}}},
        )

    return poll


def _watch(shop: Shop, cadence: str, cron: str, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{watch_job_name(shop, cadence)}_schedule",
        cron_schedule=cron,
        job_name=watch_job_name(shop, cadence),
        execution_timezone=shop.time_zone,
        default_status=status,
        description=f"Looks at the {cadence} monitoring tables.",
    )


def _rehearsal(shop: Shop, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{shop.name}_close_rehearsal",
        cron_schedule="30 3 * * *",
        job_name=close_job_name(shop),
        execution_timezone=shop.time_zone,
        default_status=status,
        description="Makes the month to date as if it were closed, so that a gap shows today and not on day one (R62).",
    )
    def rehearsal(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        yesterday = context.scheduled_execution_time.date() - timedelta(days=1)
        return dg.RunRequest(partition_key=str(Month(yesterday.year, yesterday.month)))

    return rehearsal


def _month_end(shop: Shop, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{shop.name}_month_end_schedule",
        cron_schedule="0 6 1-10 * *",
        job_name=close_job_name(shop),
        execution_timezone=shop.time_zone,
        default_status=status,
        description="Closes the month before once, from its first working day on, when every stream was read past its end.",
    )
    def month_end(context: dg.ScheduleEvaluationContext) -> Any:
        today = context.scheduled_execution_time.date()
        if today < first_working_day(today):
            return dg.SkipReason(f"{today} is before the first working day of the month")
        month = Month(today.year, today.month).previous()
        app = App.open(load_settings())
        try:
            missing = unread_streams(app, shop.name, month)
        finally:
            app.close()
        if missing:
            return dg.SkipReason(
                f"{month} is not complete: not read past its end are {', '.join(missing)}. Poll them, then run "
                f"{close_job_name(shop)} for {month}."
            )
        return dg.RunRequest(run_key=f"{shop.name}:{month}", partition_key=str(month))

    return month_end


def first_working_day(day: date) -> date:
    """Return the first Monday-to-Friday day of a day's month."""
    first = day.replace(day=1)
    return first + timedelta(days={5: 2, 6: 1}.get(first.weekday(), 0))


def _cron(every: timedelta, position: int) -> str:
    """Spread the polls over their interval, so that a shop's streams do not start together."""
    minutes = int(every.total_seconds() // 60)
    if minutes >= 24 * 60:
        return f"{(7 * position) % 60} 2 * * *"
    if minutes >= 60:
        return f"{(7 * position) % 60} * * * *"
    return f"{position % minutes}-59/{minutes} * * * *"
