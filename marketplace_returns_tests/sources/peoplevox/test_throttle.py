"""The tenant's ceiling holds over all operations together."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.settings import WarehouseSettings
from marketplace_returns.sources.budget import SharedBudget, SingleCeiling
from marketplace_returns.sources.peoplevox.throttle import ANY_OPERATION, ceilings
from marketplace_returns_tests.sources.peoplevox.conftest import START

WAREHOUSE = WarehouseSettings(base_url="https://wms.example", client_id="sandboxwms", username="sandbox-user")


@pytest.mark.proves("R103")
def test_different_operations_share_one_ceiling(tmp_path: Path) -> None:
    clock = FixedClock(START)
    shared = SharedBudget(tmp_path / "budget.db", "peoplevox", "sandboxwms", ceilings(WAREHOUSE), clock)
    budget = SingleCeiling(shared, ANY_OPERATION)
    for number in range(15):
        budget.take(("GetData", "GetReportData", "SaveData")[number % 3], urgent=True)
    assert clock.now() == START
    budget.take("Authenticate", urgent=True)
    assert (clock.now() - START).total_seconds() >= 15
    shared.close()


def test_a_refusal_of_one_operation_holds_all_back(tmp_path: Path) -> None:
    clock = FixedClock(START)
    shared = SharedBudget(tmp_path / "budget.db", "peoplevox", "sandboxwms", ceilings(WAREHOUSE), clock)
    budget = SingleCeiling(shared, ANY_OPERATION)
    budget.take("GetData")
    budget.block("GetData", 30)
    budget.take("SaveData", urgent=True)
    assert (clock.now() - START).total_seconds() >= 30
    shared.close()
