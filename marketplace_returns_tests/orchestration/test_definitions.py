"""What Dagster loads: whole, quiet, without secrets, and never retried."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from marketplace_returns.orchestration.assembly import build_definitions
from marketplace_returns.orchestration.schedules import first_working_day
from marketplace_returns.settings import load_settings
from marketplace_returns.sources.mirakl.frequencies import ACCEPTANCE_LOOK_S, ceilings

ROOT = Path(__file__).parents[2]
TOML = (ROOT / "mappings" / "shops.toml").read_text(encoding="utf-8")
REAL = (
    TOML.replace("http://127.0.0.1:8900/mirakl", "https://example.mirakl.net")
    .replace("http://127.0.0.1:8900", "https://example.org")
    .replace('call_profile = "sandbox"', 'call_profile = "seller"')
)


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def build(text: str) -> dg.RepositoryDefinition:
    file = Path("shops.toml")
    file.write_text(text, encoding="utf-8")
    return build_definitions(load_settings(file)).get_repository_def()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.RepositoryDefinition]:
    file = tmp_path_factory.mktemp("settings") / "shops.toml"
    file.write_text(TOML, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield build_definitions(load_settings(file)).get_repository_def()


@pytest.mark.proves("R97")
def test_every_asset_tells_what_it_is_and_whose(loaded: dg.RepositoryDefinition) -> None:
    graph = loaded.asset_graph
    keys = list(graph.get_all_asset_keys())
    assert {key.path[0] for key in keys} == {"asos_uk"}
    assert {graph.get(key).group_name for key in keys} == {
        "mirakl",
        "reveni",
        "peoplevox",
        "model",
        "lanes",
        "ledger",
        "reconciliation",
    }
    for key in keys:
        node = graph.get(key)
        assert node.owners, key
        assert node.kinds, key
        assert node.description, key


def test_every_source_and_month_end_asset_shows_its_columns(loaded: dg.RepositoryDefinition) -> None:
    graph = loaded.asset_graph
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if node.group_name in {"mirakl", "reveni", "peoplevox", "reconciliation"}:
            schema = node.metadata["dagster/column_schema"]
            assert all(column.description for column in schema.columns), key


@pytest.mark.proves("R98")
def test_nothing_is_ever_retried_by_dagster(loaded: dg.RepositoryDefinition) -> None:
    for job in loaded.get_all_jobs():
        assert "dagster/max_retries" not in job.tags
        assert all(node.retry_policy is None for node in job.graph.nodes)
        assert all(node.definition.retry_policy is None for node in job.graph.nodes)  # type: ignore[union-attr]


@pytest.mark.proves("R44")
def test_resources_hold_a_name_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETPLACE_RETURNS__SHOPS__ASOS_UK__MIRAKL__API_KEY", "made-up-key")
    repository = build(TOML)
    shown = repr(repository.get_top_level_resources()) + json.dumps(
        {name: str(value) for name, value in repository.get_top_level_resources().items()}
    )
    assert "made-up-key" not in shown


def test_automation_of_a_sandbox_shop_waits_and_of_a_real_one_runs(loaded: dg.RepositoryDefinition) -> None:
    assert {each.default_status for each in loaded.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}
    assert {each.default_status for each in loaded.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}
    real = build(REAL)
    assert {each.default_status for each in real.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {each.default_status for each in real.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}


def test_external_partner_is_not_asked_for_orders_by_a_sensor() -> None:
    names = {each.name for each in build(REAL.replace('"seller"', '"external_partner"')).sensor_defs}
    assert names == {
        "asos_uk_new_facts",
        "asos_uk_writes_due",
        "asos_uk_webhooks_waiting",
        "runs_failed",
        "alerts",
    }


@pytest.mark.proves("R97")
def test_poll_schedule_asks_for_the_shops_own_day_and_a_poll(loaded: dg.RepositoryDefinition) -> None:
    schedule = loaded.get_schedule_def("asos_uk_poll_mirakl_returns_schedule")
    tick = datetime(2026, 7, 1, 0, 3, tzinfo=ZoneInfo("Europe/London"))
    with dg.build_schedule_context(scheduled_execution_time=tick, repository_def=loaded) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.partition_key == "2026-07-01"
    assert request.run_config == {"ops": {"asos_uk__mirakl__returns": {"config": {"poll": True}}}}


@pytest.mark.proves("R62")
def test_nightly_rehearsal_makes_the_month_of_yesterday(loaded: dg.RepositoryDefinition) -> None:
    schedule = loaded.get_schedule_def("asos_uk_close_rehearsal")
    tick = datetime(2026, 10, 1, 3, 30, tzinfo=ZoneInfo("Europe/London"))
    with dg.build_schedule_context(scheduled_execution_time=tick, repository_def=loaded) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.partition_key == "2026-09"


@pytest.mark.parametrize(
    ("day", "first"),
    [
        (date(2026, 8, 2), date(2026, 8, 3)),
        (date(2026, 11, 1), date(2026, 11, 2)),
        (date(2026, 10, 31), date(2026, 10, 1)),
    ],
)
def test_first_working_day_is_a_weekday(day: date, first: date) -> None:
    assert first_working_day(day) == first


@pytest.mark.proves("R63")
def test_several_shops_have_assets_jobs_and_partitions_of_their_own() -> None:
    berlin = TOML[TOML.index("[shops.asos_uk]") :].replace("asos_uk", "asos_de").replace("2001", "2002")
    repository = build(TOML + "\n" + berlin.replace("Europe/London", "Europe/Berlin").replace('"GBP"', '"EUR"'))
    shops = {key.path[0] for key in repository.asset_graph.get_all_asset_keys()}
    assert shops == {"asos_uk", "asos_de"}
    partitions = repository.asset_graph.get(dg.AssetKey(["asos_de", "mirakl", "orders"])).partitions_def
    assert isinstance(partitions, dg.DailyPartitionsDefinition)
    assert partitions.timezone == "Europe/Berlin"


def test_dagster_finds_the_definitions_by_the_workspace() -> None:
    assert "marketplace_returns.definitions" in (ROOT / "workspace.yaml").read_text(encoding="utf-8")


@pytest.mark.proves("R9", "R11", "C7")
def test_urgent_work_ticks_as_often_as_the_marketplace_allows_and_goes_before_polls_and_month_end(
    loaded: dg.RepositoryDefinition,
) -> None:
    ticks = {each.name: each.minimum_interval_seconds for each in loaded.sensor_defs}
    assert max(ticks[f"asos_uk_{name}"] for name in ("new_facts", "writes_due", "webhooks_waiting")) <= 60
    assert ticks["asos_uk_orders_waiting"] <= 15
    # reading orders or looking for waiting ones, and beside it the fresh reads before refunds
    hourly = ceilings("seller")["OR11"][0]
    assert hourly.window_s / ACCEPTANCE_LOOK_S + hourly.reserved <= hourly.calls
    assert ACCEPTANCE_LOOK_S <= 120
    jobs = {job.name: job for job in loaded.get_all_jobs() if not job.name.startswith("__")}
    priority = {name: int(job.tags["dagster/priority"]) for name, job in jobs.items()}
    urgent = {"asos_uk_accept_orders", "asos_uk_work", "asos_uk_writes", "asos_uk_webhooks"}
    assert min(priority[name] for name in urgent) > max(priority[name] for name in priority if name not in urgent)
    assert priority["asos_uk_close"] == min(priority.values())


@pytest.mark.proves("R9")
def test_no_decision_and_no_write_waits_for_the_month_end(loaded: dg.RepositoryDefinition) -> None:
    graph = loaded.asset_graph
    waiting = [key for key in graph.get_all_asset_keys() if graph.get(key).group_name in {"lanes", "ledger"}]
    above, seen = list(waiting), set(waiting)
    while above:
        parents = graph.get(above.pop()).parent_keys - seen
        seen |= parents
        above += parents
    assert len(seen) > len(waiting) > 0
    assert "reconciliation" not in {graph.get(key).group_name for key in seen}
