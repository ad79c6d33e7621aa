"""What runs because something happened.

Here: the ticks that find urgent work. Not here: the work. The invariants: a tick is one indexed query (for acceptance one
small OR11 call at times, bounded in time); a run key names the facts it answers, attempt included, so that the same facts start
one run and a further attempt starts another.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from uuid import uuid4

import dagster as dg

from marketplace_returns.alerts import send_due
from marketplace_returns.clock import instant_of, microseconds_of
from marketplace_returns.errors import MarketplaceReturnsError, SourceError
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.assets.sources import source_key
from marketplace_returns.orchestration.jobs import (
    URGENT,
    acceptance_job_name,
    webhooks_job_name,
    work_job_name,
    writes_job_name,
)
from marketplace_returns.orchestration.signals import (
    facts_version,
    waiting_orders,
    was_read_within,
    webhooks_version,
    writes_due_version,
)
from marketplace_returns.orchestration.streams import ORDERS, has_acceptance_look
from marketplace_returns.periods import local_day
from marketplace_returns.settings import Shop, WriteKind, load_settings
from marketplace_returns.sources.mirakl.frequencies import ACCEPTANCE_LOOK_S

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def sensors_of(shop: Shop) -> list[dg.SensorDefinition]:
    """Return the sensors of a shop; those of a sandbox shop wait until a person turns them on."""
    status = dg.DefaultSensorStatus.STOPPED if shop.is_sandbox else dg.DefaultSensorStatus.RUNNING
    urgent = [
        _by_version(
            shop,
            name="new_facts",
            job_name=work_job_name(shop),
            version_of=facts_version,
            status=status,
            description="New facts came into the lake: every lane decides again.",
        ),
        _by_version(
            shop,
            name="writes_due",
            job_name=writes_job_name(shop),
            version_of=writes_due_version,
            status=status,
            description="A write is due, or an unclear one is to be read back.",
        ),
        _by_version(
            shop,
            name="webhooks_waiting",
            job_name=webhooks_job_name(shop),
            version_of=webhooks_version,
            status=status,
            description="A webhook told of a change: its object is read again at once, ahead of the polls (R11).",
        ),
    ]
    if has_acceptance_look(shop):
        urgent.append(_orders_waiting(shop, status))
    return urgent


def failure_sensor(shops: list[Shop]) -> dg.SensorDefinition:
    """Return the sensor that frees what a dead run held: writes it was sending are unclear and will be read back."""

    @dg.run_failure_sensor(
        name="runs_failed",
        default_status=(
            dg.DefaultSensorStatus.STOPPED if all(shop.is_sandbox for shop in shops) else dg.DefaultSensorStatus.RUNNING
        ),
        description=(
            "Lets the ledger recover what a failed run was sending, to be read back, never sent again blindly, and has alerts "
            "tell of the job, once a day."
        ),
    )
    def runs_failed(context: dg.RunFailureSensorContext) -> None:
        with opened() as app:
            recovered = app.ledger.recover()
            _tell_of_failure(app, context.dagster_run)
        context.log.error(
            "run %s of %s failed: %s; writes left unclear: %d",
            context.dagster_run.run_id,
            context.dagster_run.job_name,
            context.failure_event.message,
            recovered,
        )

    return runs_failed


def alerts_sensor(shops: list[Shop]) -> dg.SensorDefinition:
    """Return the sensor that tells people what they were not told of yet.

    It sends in its tick, not in a run: an alert must not wait in a queue that it may have to tell of. A tick with nothing to
    tell is a few indexed queries.
    """

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=60,
        default_status=(
            dg.DefaultSensorStatus.STOPPED if all(shop.is_sandbox for shop in shops) else dg.DefaultSensorStatus.RUNNING
        ),
        description="Sends alerts of exceptions to their channels: each stage once, one message a channel and tick.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        with opened() as app:
            told = send_due(app.ledger, app.settings, worker=f"alerts-{uuid4().hex[:12]}")
        for each in told:
            if each.is_in_order:
                context.log.info("%s: told of %d", each.channel, each.sent)
            else:
                context.log.error("%s: not taken: %s", each.channel, each.message)
        words = ", ".join(
            f"{each.channel} {each.sent}" if each.is_in_order else f"{each.channel} is down: {each.message}"
            for each in told
        )
        return dg.SkipReason(words or "no alert channel is set")

    return alerts


def _tell_of_failure(app: App, run: dg.DagsterRun) -> None:
    """Have alerts tell of a job that failed: once a day, however often it fails, by name only."""
    now = app.clock.now()
    shop = run.tags.get("shop", "")
    app.ledger.note_alert(
        f"job/{run.job_name}/{now:%Y-%m-%d}",
        shop=shop if shop in app.settings.shops else min(app.settings.shops),
        owner="integration",
        severity="high",
        about=f"job {run.job_name} failed",
    )


def _by_version(
    shop: Shop,
    *,
    name: str,
    job_name: str,
    version_of: Callable[[App, str], str],
    status: dg.DefaultSensorStatus,
    description: str,
) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{shop.name}_{name}",
        job_name=job_name,
        minimum_interval_seconds=10,  # a tick is one small query; three hops stay within half a minute
        default_status=status,
        description=description,
    )
    def by_version(context: dg.SensorEvaluationContext) -> Any:
        with opened() as app:
            version = version_of(app, shop.name)
        if not version or version == context.cursor:
            return dg.SkipReason("nothing new")
        if _is_under_way(context, job_name):
            return dg.SkipReason(f"{job_name} is under way")
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{job_name}:{version}")], cursor=version)

    return by_version


def _orders_waiting(shop: Shop, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    job_name = acceptance_job_name(shop)
    span = timedelta(seconds=ACCEPTANCE_LOOK_S)

    @dg.sensor(
        name=f"{shop.name}_orders_waiting",
        job_name=job_name,
        minimum_interval_seconds=10,  # most ticks ask the ledger only; a look that had to wait comes at the next one
        default_status=status,
        description="An order waits for acceptance: it is pulled and accepted at once, ahead of the five-minute poll (R14).",
    )
    def orders_waiting(context: dg.SensorEvaluationContext) -> Any:
        seen, asked_at, looked_at = _AcceptanceCursor.read(context.cursor)
        with opened() as app:
            now = app.clock.now()
            if now - looked_at < span or was_read_within(app, shop.name, ORDERS.name, span):
                return dg.SkipReason(f"orders were looked for or read within {ACCEPTANCE_LOOK_S} s")
            if _is_under_way(context, job_name):
                return dg.SkipReason(f"{job_name} is under way")
            if asked_at and app.ledger.is_confirmed_after(shop.name, WriteKind.ACCEPT_ORDER, asked_at):
                # Orders are coming in: to read them costs one call, to look first would cost two.
                version = f"next {now:%Y-%m-%d %H:%M:%S}"
            else:
                try:
                    waiting = waiting_orders(app, shop.name)
                except SourceError as error:
                    return dg.SkipReason(f"{error.system} {error.operation}: {error}")
                version = hashlib.sha256("\n".join(sorted(waiting)).encode()).hexdigest()[:16] if waiting else ""
        if not version or version == seen:
            cursor = _AcceptanceCursor(version, None, now).written()
            return dg.SensorResult(run_requests=[], cursor=cursor, skip_reason=dg.SkipReason("no new order waits"))
        cursor = _AcceptanceCursor(version, now, now).written()
        return dg.SensorResult(run_requests=[accept_now(shop, version, now)], cursor=cursor)

    return orders_waiting


class _AcceptanceCursor(NamedTuple):
    """What the look for orders last saw, when it last asked for a run for that, and when it last looked."""

    version: str
    asked_at: datetime | None
    looked_at: datetime

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        version, _, rest = (cursor or "").partition("@")
        asked_at, _, looked_at = rest.partition("@")
        return cls(version, instant_of(int(asked_at)) if asked_at else None, instant_of(int(looked_at or 0)))

    def written(self) -> str:
        asked_at = microseconds_of(self.asked_at) if self.asked_at else ""
        return f"{self.version}@{asked_at}@{microseconds_of(self.looked_at)}"


def accept_now(shop: Shop, version: str, now: datetime) -> dg.RunRequest:
    """Ask for one run that goes on from the cursor of the orders and accepts what waits; the same version asks once."""
    return dg.RunRequest(
        run_key=f"{acceptance_job_name(shop)}:{version}",
        partition_key=local_day(now.astimezone(UTC), shop.time_zone).isoformat(),
        run_config={"ops": {source_key(shop, ORDERS).to_python_identifier(): {"config": {"poll": True}}}},
        tags=URGENT,
    )


def _is_under_way(context: dg.SensorEvaluationContext, job_name: str) -> bool:
    return context.instance.get_runs_count(dg.RunsFilter(job_name=job_name, statuses=_UNFINISHED)) > 0


@contextmanager
def opened() -> Iterator[App]:
    """Open the installation for one tick; a mistake of a person is told as such, without a stack of calls."""
    try:
        app = App.open(load_settings())
    except MarketplaceReturnsError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    try:
        yield app
    finally:
        app.close()
