"""Dagster tells people: the sensor sends what is due in its tick, and a failed run is heard of."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from marketplace_returns.orchestration.sensors import alerts_sensor, failure_sensor
from marketplace_returns_tests.alerts.receiver import Desk, receiving
from marketplace_returns_tests.ledger.world import SHOP, problem

MAPPINGS = Path(__file__).parents[2] / "mappings"


@pytest.mark.proves("R20", "R71")
def test_the_sensor_tells_of_exceptions_and_of_a_failed_job_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def fails() -> None:
        raise ValueError("Jane Doe")

    @dg.job(name=f"{SHOP}_broken", tags={"shop": SHOP})
    def broken() -> None:
        fails()

    with receiving() as receiver, dg.DagsterInstance.ephemeral() as instance:
        desk = Desk(tmp_path, {"ops": {"url": receiver.url()}})
        settings = desk.settings.model_copy(update={"mappings_dir": MAPPINGS})
        monkeypatch.setattr("marketplace_returns.orchestration.sensors.load_settings", lambda: settings)
        monkeypatch.setattr("marketplace_returns.orchestration.app.SystemClock", lambda: desk.clock)
        shops = list(settings.shops.values())
        desk.ledger.raise_exceptions(SHOP, "test", [problem()])
        for _ in range(2):
            ended = broken.execute_in_process(instance=instance, raise_on_error=False)
            failure_sensor(shops)(
                dg.build_run_status_sensor_context(
                    sensor_name="runs_failed",
                    dagster_instance=instance,
                    dagster_run=ended.dagster_run,
                    dagster_event=ended.get_run_failure_event(),
                ).for_run_failure()
            )
        for _ in range(2):
            assert isinstance(alerts_sensor(shops)(dg.build_sensor_context(instance=instance)), dg.SkipReason)
        (message,) = receiver.messages()
        assert f"job {SHOP}_broken failed, {SHOP}" in message
        assert "ACK_OVERDUE 1" in message
        assert "Jane" not in message
        desk.ledger.close()
