"""Making a training: weeks of a small world are played, and the trouble of every type is caused on the way.

Here: which day what is caused, the passes between, the month that is signed, the last look. Not here: any trouble or cure, the
commands. The invariant: an exception is there because the product saw its cause.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from marketplace_returns.cli.demo_place import DEMO_SHOP, DemoPlace
from marketplace_returns.cli.demo_play import PlayedClock
from marketplace_returns.cli.output import Output
from marketplace_returns.cli.sandbox_process import SandboxProcess
from marketplace_returns.cli.training_cases import Case, cases, plant_mistakes
from marketplace_returns.lanes import LANES
from marketplace_returns.orchestration import month as months
from marketplace_returns.orchestration import sync, watching
from marketplace_returns.orchestration.app import App
from marketplace_returns.periods import Month, month_of
from marketplace_returns.sandbox.lesson import Stage
from marketplace_returns.sandbox.lessons_of_money import BOOKS_BEHIND
from marketplace_returns.settings import load_settings

DAYS: Final = 24
"""Long enough for returns in every stage at the end."""
STEP: Final = timedelta(hours=40)
ACCEPT_ABOVE: Final = "150.00"
REFUND_WITHIN_HOURS: Final = 96
"""A deadline that a parcel which lay unopened for five days has missed, and one of three days nearly has."""
PREPARED_BY, SIGNED_BY = "Fay (finance)", "Gus (head of finance)"


def play(where: DemoPlace, sandbox: SandboxProcess, now: datetime, output: Output) -> list[Case]:
    """Play the days up to now, cause every trouble there is, and let the product find them; return the cases.

    The secrets of the sandbox are in the environment already.
    """
    clock = PlayedClock(sandbox.now())
    instants = _instants(clock.now(), now)
    with output.progress("training", len(instants) + 2) as show:
        _configure(where, sandbox.settings)
        app = App.open(load_settings(), clock)
        try:
            for number, instant in enumerate(instants):
                show(f"{instant:%d %b}", number)
                sandbox.advance_to(instant)
                clock.move_to(sandbox.now())
                _pass_with_troubles(app, sandbox, now - instant, f"training-{number}")
            show("month-end", len(instants))
            this_month = month_of(now - BOOKS_BEHIND, app.shop(DEMO_SHOP).time_zone)
            _sign(app, this_month.previous())
        finally:
            app.close()
        show("troubles", len(instants) + 1)
        _configure(where, _training_settings(sandbox.settings))
        app = App.open(load_settings(), clock)
        try:
            about = _last_look(app, sandbox)
            watch_daily(app)
            months.close(app, DEMO_SHOP, this_month, run_id="training-month")
            return cases(sandbox.lessons(), about, app.ledger.exceptions(), str(this_month))
        finally:
            app.close()


def watch_daily(app: App) -> None:
    """Look at the monitoring tables, as the schedules of a real installation do each day."""
    shop = app.shop(DEMO_SHOP)
    watching.watch(app, DEMO_SHOP, watching.watched(app, shop, app.modelled()))


def _instants(start: datetime, now: datetime) -> list[datetime]:
    """Return when a pass looks: step by step, and whenever a trouble is caused."""
    steps = -((start - now) // STEP)
    regular = {now - STEP * number for number in range(steps)}
    return sorted(regular | {now - stage.before for stage in Stage})


def _pass_with_troubles(app: App, sandbox: SandboxProcess, before: timedelta, run_id: str) -> None:
    """Do a pass, with what is caused before it and when it has written; that of now is a look of its own."""
    stages = [stage for stage in Stage if before and stage.before == before]
    written = [stage for stage in stages if stage is Stage.HOURS_WRITTEN]
    for stage in stages:
        if stage not in written:
            sandbox.cause(stage.name)
    # What is undone as soon as it is written must not have been read again.
    sync.run_pass(app, DEMO_SHOP, run_id=run_id, everything=True, verify=not written)
    for stage in written:
        sandbox.cause(stage.name)


def _sign(app: App, month: Month) -> None:
    """Close and sign a month, so that something can come late for it."""
    months.prepare(app, DEMO_SHOP, month, by=PREPARED_BY, run_id="training-signed")
    months.sign(app, DEMO_SHOP, month, by=SIGNED_BY, reason="The training's month before, of which little is known.")


def _last_look(app: App, sandbox: SandboxProcess) -> dict[str, dict[str, str]]:
    """Do a pass by its steps, for some troubles come between our decision and our write; return what each is about."""
    run_id = "training-troubles"
    sandbox.cause(Stage.NOW.name)
    sync.pull_due(app, DEMO_SHOP, run_id=run_id, everything=True)
    sync.extend_model(app, DEMO_SHOP, run_id=run_id)
    sync.decide_all(app, DEMO_SHOP, tuple(LANES))
    about = sandbox.cause(Stage.NOW_DECIDED.name)
    sync.send(app, DEMO_SHOP, run_id=run_id)
    return about


def _configure(where: DemoPlace, told: Any) -> None:
    where.write_config({DEMO_SHOP: told})
    plant_mistakes(where.folder / "mappings")


def _training_settings(told: Any) -> dict[str, Any]:
    shop = dict(told["shop"])
    policy = {
        **shop["policy"],
        "accept": "manual_above_value",
        "accept_value_above": ACCEPT_ABOVE,
        "refund_deadline_hours": REFUND_WITHIN_HOURS,
    }
    return {**told, "shop": {**shop, "policy": policy}}
