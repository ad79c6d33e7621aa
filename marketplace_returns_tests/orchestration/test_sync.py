"""A full pass: what it does, and what does not stop it."""

from __future__ import annotations

import pytest

from marketplace_returns.errors import BadArgument, SourceUnreachable
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.month import unread_streams
from marketplace_returns.orchestration.pulling import pull_stream, touched_keys
from marketplace_returns.orchestration.streams import STREAMS, is_due
from marketplace_returns.orchestration.sync import decide_all, run_pass
from marketplace_returns.periods import Month
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.mirakl.client import MiraklClient
from marketplace_returns_tests.orchestration.conftest import SHOP, Place

ORDERS = next(stream for stream in STREAMS if stream.name == "mirakl/order")


@pytest.mark.proves("R14", "R81")
def test_passes_accept_and_forward_every_order_once(place: Place) -> None:
    said: list[str] = []
    waiting = place.orders
    with place.app() as app:
        first = run_pass(app, SHOP, run_id="first", on_progress=said.append)
        assert first.is_complete
        accepted = first.sent.by_kind_and_state[WriteKind.ACCEPT_ORDER, State.CONFIRMED]
        assert accepted == waiting > 0
        assert first.sent.seen.reflected == accepted
        assert touched_keys(app, app.shop(SHOP)) == {}
        again = run_pass(app, SHOP, run_id="again")
        assert WriteKind.ACCEPT_ORDER not in {kind for kind, _ in again.sent.by_kind_and_state}
        place.live(12)
        last = run_pass(app, SHOP, run_id="last")
        assert last.sent.by_kind_and_state[WriteKind.CREATE_WAREHOUSE_ORDER, State.CONFIRMED] == waiting
    truth = place.sandbox.truth()
    assert truth["facts"]["accept_calls_repeated"] == 0
    assert truth["ok"]
    assert "lanes: deciding" in said


@pytest.mark.played
def test_pass_that_does_not_verify_shows_its_writes_by_the_polls_of_the_next(place: Place) -> None:
    with place.app() as app:
        first = run_pass(app, SHOP, run_id="first", verify=False)
        accepted = first.sent.by_kind_and_state[WriteKind.ACCEPT_ORDER, State.CONFIRMED]
        assert accepted == place.orders
        assert first.sent.seen.reflected == 0
        sent = {each.intent_id for each in app.ledger.intents(shop=SHOP, kinds=[WriteKind.ACCEPT_ORDER])}
        place.live(12)
        run_pass(app, SHOP, run_id="next", verify=False)
        shown = app.ledger.intents(shop=SHOP, kinds=[WriteKind.ACCEPT_ORDER], states=[State.REFLECTED])
        assert {each.intent_id for each in shown} == sent
    assert place.sandbox.truth()["facts"]["accept_calls_repeated"] == 0


@pytest.mark.proves("R114")
def test_shadow_pass_shows_the_plans_and_sends_nothing(place: Place) -> None:
    with place.app() as app:
        report = run_pass(app, SHOP, run_id="shadow", lanes=["accept_orders"], shadow=True)
        (lane,) = report.lanes
        assert (lane.planned, lane.new) == (place.orders, 0)
        assert lane.decision is not None
        assert lane.decision.intents[0].body["order_lines"]
        assert app.ledger.intents(shop=SHOP) == []
        decide_all(app, SHOP, ["accept_orders"])  # from here on there is something due
        run_pass(app, SHOP, run_id="shadow again", lanes=["accept_orders"], shadow=True)
        assert {each.state for each in app.ledger.intents(shop=SHOP)} == {State.PLANNED}
    assert place.sandbox.truth()["facts"]["order_states"] == {"WAITING_ACCEPTANCE": place.orders}


@pytest.mark.played
def test_dead_source_is_told_once_and_stops_no_other(place: Place) -> None:
    reveni = place.settings.shop(SHOP).returns.model_copy(update={"base_url": "http://127.0.0.1:9/reveni"})
    shop = place.settings.shop(SHOP).model_copy(update={"returns": reveni})
    broken = place.settings.model_copy(update={"shops": {SHOP: shop}})
    whole, place.settings = place.settings, broken
    with place.app() as app:
        for run in ("first", "second"):
            report = run_pass(app, SHOP, run_id=run, lanes=["accept_orders"])
            assert [failure.stream for failure in report.failures] == ["reveni/return"]
        assert len(app.ledger.intents(shop=SHOP, kinds=[WriteKind.ACCEPT_ORDER])) == place.orders
        (told,) = app.ledger.exceptions(shop=SHOP, types=["SOURCE_STALE"])
        assert told.seen_count == 2
        assert told.entity == {"stream": "reveni/return"}
    place.settings = whole
    with place.app() as app:
        assert run_pass(app, SHOP, run_id="third", lanes=["accept_orders"]).is_complete
        assert app.ledger.exceptions(shop=SHOP, types=["SOURCE_STALE"]) == []


def test_failed_poll_leaves_the_cursor_and_reading_again_moves_none(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise SourceUnreachable("gone", system="mirakl", operation="OR11")

    with place.app() as app:
        now = app.clock.now()
        result = pull_stream(app, SHOP, ORDERS, run_id="again", window=(app.clock.now().replace(hour=0), now))
        assert result.objects == place.orders
        assert app.ledger.cursor(SHOP, "mirakl/order") is None
        pull_stream(app, SHOP, ORDERS, run_id="poll")
        watermark = app.ledger.cursor(SHOP, "mirakl/order")
        assert watermark is not None
        assert watermark <= now
        place.live(1)
        monkeypatch.setattr(MiraklClient, "orders", gone)
        with pytest.raises(SourceUnreachable):
            pull_stream(app, SHOP, ORDERS, run_id="failed")
        assert app.ledger.cursor(SHOP, "mirakl/order") == watermark


def test_a_stream_in_which_nothing_changes_was_read_all_the_same(place: Place) -> None:
    """It rests by its cadence, is fresh, and does not keep a month from being closed."""
    with place.app() as app:
        pull_stream(app, SHOP, ORDERS, run_id="poll")
        watermark = app.ledger.cursor(SHOP, "mirakl/order")
        assert watermark is not None
        month = Month(watermark.year, watermark.month)
        assert "mirakl/order" in unread_streams(app, SHOP, month)
        place.clock.wait(40 * 86_400)
        pull_stream(app, SHOP, ORDERS, run_id="quiet")
        assert app.ledger.cursors(SHOP)["mirakl/order"] == (watermark, app.clock.now())
        assert "mirakl/order" not in unread_streams(app, SHOP, month)
        assert not is_due(ORDERS, app.ledger.cursors(SHOP)["mirakl/order"][1], app.clock.now())


def test_unknown_lane_and_shop_are_refused_with_the_known_ones(place: Place) -> None:
    with place.app() as app:
        with pytest.raises(BadArgument, match="use one of accept_orders"):
            run_pass(app, SHOP, run_id="x", lanes=["accept"])
        with pytest.raises(BadArgument, match="known shops are asos_uk"):
            run_pass(app, "nobody", run_id="x")
