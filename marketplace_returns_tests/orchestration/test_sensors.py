"""When the sensors ask for runs."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from marketplace_returns.errors import RateLimited
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.pulling import pull_stream, pull_touched
from marketplace_returns.orchestration.schedules import schedules_of
from marketplace_returns.orchestration.sensors import sensors_of
from marketplace_returns.orchestration.streams import STREAMS
from marketplace_returns.orchestration.sync import decide, pull_due, send
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.mirakl.client import MiraklClient
from marketplace_returns_tests.orchestration.conftest import SHOP, Place


def calls(place: Place, operation: str) -> int:
    counts = place.sandbox.do(lambda: dict(place.sandbox.gate.calls))
    return sum(count for (_, found), count in counts.items() if found == operation)


@pytest.mark.proves("R14", "R103")
def test_while_orders_come_in_they_are_read_without_a_look_before(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = next(each for each in sensors_of(place.settings.shop(SHOP)) if each.name == f"{SHOP}_orders_waiting")
    monkeypatch.setattr("marketplace_returns.orchestration.sensors.load_settings", lambda: place.settings)
    monkeypatch.setattr("marketplace_returns.orchestration.app.SystemClock", lambda: place.clock)
    orders = next(each for each in STREAMS if each.name == "mirakl/order")

    def tick(cursor: str | None) -> tuple[dg.SensorResult, int]:
        before = calls(place, "OR11")
        with dg.DagsterInstance.ephemeral() as instance:
            found = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
        assert isinstance(found, dg.SensorResult)
        return found, calls(place, "OR11") - before

    def accept() -> None:
        place.clock.wait(10)
        with place.app() as app:
            pull_stream(app, SHOP, orders, run_id="accept")
            decide(app, app.modelled(), SHOP, "accept_orders")
            send(app, SHOP, run_id="accept", verify=False)

    first, looks = tick(None)
    assert (len(first.run_requests or ()), looks) == (1, 1)
    again, looks = tick(first.cursor)
    assert (again.run_requests, looks) == ([], 1), "what was asked for is not asked for twice"
    accept()
    more, looks = tick(first.cursor)
    assert (len(more.run_requests or ()), looks) == (1, 0)
    assert (more.run_requests or ())[0].run_key != (first.run_requests or ())[0].run_key
    place.clock.wait(120)
    none, looks = tick(more.cursor)
    assert (none.run_requests, looks) == ([], 1), "the run before accepted nothing, so it looks again"


@pytest.mark.proves("R103")
def test_what_the_call_budget_leaves_no_room_for_shows_at_the_next_poll(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used_up(*_: object, **__: object) -> None:
        raise RateLimited("used up", system="mirakl", operation="OR11", retry_after_s=100.0)

    with place.app() as app:
        pull_due(app, SHOP, run_id="first")
        decide(app, app.modelled(), SHOP, "accept_orders")
        with monkeypatch.context() as patched:
            patched.setattr(MiraklClient, "orders_by_id", used_up)
            send(app, SHOP, run_id="first")
            assert pull_touched(app, SHOP, run_id="again") == []
        accepted = app.ledger.intents(kinds=(WriteKind.ACCEPT_ORDER,))
        assert {each.state for each in accepted} == {State.CONFIRMED}
        assert [each for each in app.ledger.exceptions() if each.lane.startswith("source/")] == []
        place.clock.wait(timedelta(minutes=6).total_seconds())
        place.sandbox.advance_to(place.clock.now())
        pull_due(app, SHOP, run_id="next")
        send(app, SHOP, run_id="next", verify=False)
        assert {each.state for each in app.ledger.intents(kinds=(WriteKind.ACCEPT_ORDER,))} == {State.REFLECTED}


@pytest.mark.proves("R103")
def test_the_regular_poll_of_orders_is_left_out_where_acceptance_has_just_read_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace_returns.orchestration.sensors.load_settings", lambda: place.settings)
    monkeypatch.setattr("marketplace_returns.orchestration.app.SystemClock", lambda: place.clock)
    schedule = next(
        each for each in schedules_of(place.settings.shop(SHOP)) if each.name.endswith("poll_mirakl_orders_schedule")
    )

    def tick() -> object:
        with dg.build_schedule_context(scheduled_execution_time=place.clock.now()) as context:
            return schedule(context)

    assert isinstance(tick(), dg.RunRequest), "nobody has read them yet"
    with place.app() as app:
        pull_stream(app, SHOP, next(each for each in STREAMS if each.name == "mirakl/order"), run_id="accept")
    assert isinstance(tick(), dg.SkipReason)
    place.clock.wait(151)
    assert isinstance(tick(), dg.RunRequest)
