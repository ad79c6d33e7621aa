"""The assets of a shop, run as Dagster runs them, on a living sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from marketplace_returns.lanes import LANES
from marketplace_returns.ledger.outcomes import NotSent
from marketplace_returns.ledger.states import State
from marketplace_returns.model import MODEL_VIEWS
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.assets.lanes import lane_assets
from marketplace_returns.orchestration.assets.ledger import ledger_assets
from marketplace_returns.orchestration.assets.model import model_assets
from marketplace_returns.orchestration.assets.reconciliation import month_end_assets
from marketplace_returns.orchestration.assets.sources import source_assets
from marketplace_returns.orchestration.jobs import acceptance_job_name, jobs_of
from marketplace_returns.orchestration.month import unread_streams
from marketplace_returns.orchestration.pulling import pull_stream
from marketplace_returns.orchestration.resources import Installation
from marketplace_returns.orchestration.sensors import accept_now
from marketplace_returns.orchestration.signals import facts_version, waiting_orders, writes_due_version
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.periods import Month
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.world import acceptance, decision
from marketplace_returns_tests.orchestration.conftest import SHOP, Place

DAY = "2026-01-01"


def installation_of(place: Place) -> Installation:
    class InSandbox(Installation):
        def open(self) -> App:
            if self._app is None:
                self._app = App.open(place.settings, place.clock)
            return self._app

    return InSandbox()


def run(
    place: Place,
    assets: Sequence[dg.AssetsDefinition],
    *,
    partition: str | None = None,
    config: dict[str, object] | None = None,
    tags: dict[str, str] | None = None,
    fails: bool = False,
) -> dg.ExecuteInProcessResult:
    """Materialise assets in this process, with an installation that lives by the sandbox's clock."""
    result = dg.materialize(
        list(assets),
        partition_key=partition,
        resources={"installation": installation_of(place)},
        run_config={"ops": {assets[0].op.name: {"config": config}}} if config else None,
        tags=tags,
        raise_on_error=not fails,
    )
    assert result.success is not fails
    return result


def source(place: Place, noun: str) -> dg.AssetsDefinition:
    assets = source_assets(place.settings.shop(SHOP))
    return next(each for each in assets if each.key.path == [SHOP, "mirakl", noun])


def shown(result: dg.ExecuteInProcessResult, key: Sequence[str]) -> dict[str, Any]:
    (event,) = [
        event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(list(key))
    ]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_day_is_read_again_without_moving_the_cursor_and_a_poll_moves_it(place: Place) -> None:
    orders = source(place, "orders")
    first = shown(run(place, [orders], partition=DAY), [SHOP, "mirakl", "orders"])
    assert first["objects"] == first["new_objects"] == first["dagster/row_count"] == place.orders
    with place.app() as app:
        assert app.ledger.cursor(SHOP, "mirakl/order") is None
    polled = shown(run(place, [orders], partition=DAY, config={"poll": True}), [SHOP, "mirakl", "orders"])
    assert (polled["objects"], polled["new_objects"]) == (place.orders, 0)
    with place.app() as app:
        assert app.ledger.cursor(SHOP, "mirakl/order") is not None


@pytest.mark.proves("R98")
def test_range_of_days_is_one_run(place: Place) -> None:
    tags = {"dagster/asset_partition_range_start": "2025-12-30", "dagster/asset_partition_range_end": DAY}
    result = run(place, [source(place, "orders")], tags=tags)
    events = result.get_asset_materialization_events()
    assert sorted(str(event.partition) for event in events) == ["2025-12-30", "2025-12-31", DAY]


def test_days_that_have_not_begun_are_refused_plainly(place: Place) -> None:
    result = run(place, [source(place, "orders")], partition="2026-01-03", fails=True)
    (failure,) = result.get_step_failure_events()
    assert "has not begun: choose days up to today" in str(failure.step_failure_data.user_failure_data)


@pytest.mark.proves("R97")
def test_work_decides_and_sends_and_shows_what_it_did(place: Place) -> None:
    shop = place.settings.shop(SHOP)
    run(place, [source(place, "orders")], partition=DAY)
    result = run(place, [model_assets(shop), *lane_assets(shop), *ledger_assets(shop)])
    assert shown(result, [SHOP, "model", "orders"])["dagster/row_count"] == place.orders
    lane = shown(result, [SHOP, "lanes", "accept_orders"])
    assert lane["writes_planned"] == lane["writes_new"] == place.orders
    writes = shown(result, [SHOP, "ledger", "writes"])
    assert writes["accept_order CONFIRMED"] == place.orders
    assert len(result.get_asset_materialization_events()) == len(LANES) + len(MODEL_VIEWS) + 2
    assert all(check.passed for check in result.get_asset_check_evaluations())
    with place.app() as app:
        assert len(app.ledger.intents(shop=SHOP, states=[State.REFLECTED])) == place.orders
    assert place.sandbox.truth()["facts"]["accept_calls_repeated"] == 0


@pytest.mark.proves("R14")
def test_waiting_orders_are_pulled_and_accepted_in_one_run(place: Place) -> None:
    shop = place.settings.shop(SHOP)
    job = next(job for job in jobs_of(shop) if job.name == acceptance_job_name(shop))
    definitions = dg.Definitions(
        assets=[*source_assets(shop), model_assets(shop), *lane_assets(shop), *ledger_assets(shop)],
        jobs=[job],
        resources={"installation": installation_of(place)},
    )
    result = definitions.resolve_job_def(job.name).execute_in_process(
        partition_key=DAY, run_config=accept_now(shop, "v", place.clock.now()).run_config
    )
    steps = [event.step_key for event in result.get_step_success_events()]
    assert steps == [
        "asos_uk__mirakl__orders",
        "asos_uk_model",
        "asos_uk__lanes__accept_orders",
        "asos_uk__ledger__writes",
    ]
    assert shown(result, [SHOP, "ledger", "writes"])["accept_order CONFIRMED"] == place.orders
    with place.app() as app:
        assert waiting_orders(app, SHOP) == []
        assert app.ledger.cursor(SHOP, "mirakl/order") is not None


@pytest.mark.proves("R97")
def test_month_is_made_with_every_table_and_every_proof(place: Place) -> None:
    shop = place.settings.shop(SHOP)
    run(place, [source(place, "orders")], partition=DAY)
    run(place, [source(place, "transactions")], partition=DAY)
    result = run(place, [month_end_assets(shop)], partition="2026-01")
    events = result.get_asset_materialization_events()
    assert {str(event.partition) for event in events} == {"2026-01"}
    checks = result.get_asset_check_evaluations()
    assert {check.check_name.partition("_")[0] for check in checks} == {f"i{n}" for n in range(1, 19)}
    assert all(check.passed for check in checks)
    for event in events:
        preview = event.materialization.metadata["preview"]
        assert isinstance(preview, dg.TableMetadataValue)
        columns = [column.name for column in preview.schema.columns]
        assert columns[0] == "currency", "shop and month are the page's own"
    (payouts,) = [event for event in events if event.asset_key == dg.AssetKey([SHOP, "reconciliation", "payout_proof"])]
    proven = shown(result, [SHOP, "reconciliation", "payout_proof"])
    tables: Any = payouts.materialization.metadata
    assert "auto_match_percent" not in proven, "of nothing there is no share"
    assert proven["post_close_adjustments"] == 0
    assert {"value_unmatched_minor GBP": 0, "post_close_adjustments_minor GBP": 0}.items() <= proven.items()
    figures = [record.data["metric"] for record in tables["reviewer_metrics"].records]
    assert figures == ["auto-match", "value unmatched", "days to close", "days to sign", "post-close adjustments"]
    assert tables["months_before"].records == []


@pytest.mark.proves("R14")
def test_signals_name_new_facts_and_due_writes_once(place: Place) -> None:
    shop = place.settings.shop(SHOP)
    with place.app() as app:
        assert facts_version(app, SHOP) == ""
        assert writes_due_version(app, SHOP) == ""
        assert len(waiting_orders(app, SHOP)) == place.orders
        orders = next(stream for stream in streams_of(shop) if stream.name == "mirakl/order")
        pull_stream(app, SHOP, orders, run_id="poll")
        version = facts_version(app, SHOP)
        assert version
        pull_stream(app, SHOP, orders, run_id="poll")
        assert facts_version(app, SHOP) == version


def test_a_write_that_was_parked_is_due_anew_when_its_time_comes(place: Place) -> None:
    with place.app() as app:
        app.ledger.apply(decision(acceptance()), app.shop(SHOP))
        first = writes_due_version(app, SHOP)
        assert first
        (claimed,) = app.ledger.claim(SHOP, WriteKind.ACCEPT_ORDER, worker="w1", limit=1)
        app.ledger.begin({claimed.intent_id: NotSent("the call budget is used up", 30, "rate")}, worker="w1")
        assert writes_due_version(app, SHOP) == ""
        place.clock.wait(30)
        again = writes_due_version(app, SHOP)
        assert int(place.clock.now().timestamp()) // 600 == int(claimed.planned_at.timestamp()) // 600, (
            "same ten minutes"
        )
        assert again not in {"", first}


def test_month_is_incomplete_until_every_stream_was_read_past_its_end(place: Place) -> None:
    december = Month(2025, 12)
    with place.app() as app:
        missing = unread_streams(app, SHOP, december)
        assert "mirakl/transaction" in missing
        for stream in streams_of(place.settings.shop(SHOP)):
            if stream.name in missing:
                pull_stream(app, SHOP, stream, run_id="poll")
        assert unread_streams(app, SHOP, december) == []
        assert unread_streams(app, SHOP, december.next()) == missing


@pytest.mark.parametrize("month", ["2024-12", "2030-01"])
def test_months_outside_are_no_partitions(place: Place, month: str) -> None:
    shop = place.settings.shop(SHOP)
    assert month not in month_end_assets(shop).partitions_def.get_partition_keys()  # type: ignore[union-attr]
