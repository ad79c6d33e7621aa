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
from marketplace_returns.sources.mirakl.frequencies import ACCEPTANCE_LOOK_S
from marketplace_returns_tests.orchestration.conftest import SHOP, Place


def calls(place: Place, operation: str) -> int:
    counts = place.sandbox.do(lambda: dict(place.sandbox.gate.calls))
    return sum(count for (_, found), count in counts.items() if found == operation)


ORDERS = next(each for each in STREAMS if each.name == "mirakl/order")


class Looks:
    """The sensor of the orders that wait, tick by tick, with what each costs of OR11."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.sensor = next(
            each for each in sensors_of(place.settings.shop(SHOP)) if each.name == f"{SHOP}_orders_waiting"
        )
        self.cursor: str | None = None

    def tick(self) -> tuple[list[str], int]:
        """Return the keys of the runs that are asked for, and the calls."""
        before = calls(self.place, "OR11")
        with dg.DagsterInstance.ephemeral() as instance:
            found = self.sensor(dg.build_sensor_context(instance=instance, cursor=self.cursor))
        runs: list[str] = []
        if isinstance(found, dg.SensorResult):
            self.cursor = found.cursor
            runs = [str(each.run_key) for each in found.run_requests or ()]
        return runs, calls(self.place, "OR11") - before

    def accept(self) -> None:
        with self.place.app() as app:
            pull_stream(app, SHOP, ORDERS, run_id="accept")
            decide(app, app.modelled(), SHOP, "accept_orders")
            send(app, SHOP, run_id="accept", verify=False)


@pytest.fixture
def looks(place: Place, monkeypatch: pytest.MonkeyPatch) -> Looks:
    monkeypatch.setattr("marketplace_returns.orchestration.sensors.load_settings", lambda: place.settings)
    monkeypatch.setattr("marketplace_returns.orchestration.app.SystemClock", lambda: place.clock)
    return Looks(place)


@pytest.mark.proves("R14", "R103")
def test_while_orders_come_in_they_are_read_without_a_look_before(looks: Looks) -> None:
    (first,), cost = looks.tick()
    assert cost == 1
    assert looks.tick() == ([], 0), "it was looked for just now"
    looks.place.clock.wait(ACCEPTANCE_LOOK_S)
    assert looks.tick() == ([], 1), "what was asked for is not asked for twice"
    looks.cursor = None
    looks.tick()
    looks.place.clock.wait(10)
    looks.accept()
    looks.place.clock.wait(ACCEPTANCE_LOOK_S)
    (more,), cost = looks.tick()
    assert (cost, more != first) == (0, True)
    looks.place.clock.wait(ACCEPTANCE_LOOK_S)
    assert looks.tick() == ([], 1), "the run before accepted nothing, so it looks again"


@pytest.mark.proves("R14", "R103")
def test_what_the_regular_poll_has_just_read_is_not_looked_for(looks: Looks) -> None:
    with looks.place.app() as app:
        pull_stream(app, SHOP, ORDERS, run_id="poll")
    looks.place.clock.wait(ACCEPTANCE_LOOK_S - 1)
    assert looks.tick() == ([], 0)
    looks.place.clock.wait(1)
    runs, cost = looks.tick()
    assert (len(runs), cost) == (1, 1)


@pytest.mark.proves("R14", "R103")
def test_a_look_that_the_call_budget_held_back_comes_at_the_next_tick(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used_up(*_: object, **__: object) -> None:
        raise RateLimited("used up", system="mirakl", operation="OR11", retry_after_s=20.0)

    with monkeypatch.context() as patched:
        patched.setattr(MiraklClient, "orders_in_state", used_up)
        assert looks.tick() == ([], 0)
    looks.place.clock.wait(10)
    runs, cost = looks.tick()
    assert (len(runs), cost) == (1, 1)


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
        pull_stream(app, SHOP, ORDERS, run_id="accept")
    assert isinstance(tick(), dg.SkipReason)
    place.clock.wait(151)
    assert isinstance(tick(), dg.RunRequest)
