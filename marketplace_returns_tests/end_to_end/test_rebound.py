"""A shop on ReBound, of either generation, agrees with the sandbox's truth and ends in a proven month."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns_tests.end_to_end.played import START, played

# A pass after each: accepted, ordered, despatched; returns opened; then what their parcels bring.
STEPS_DAYS = (1, 1, 2, 8, 5, 5, 4)
FOUND_IN_PARCELS = {"RECEIPT_WRONG_ITEM", "RECEIPT_SHORT", "RECEIPT_UNEXPECTED", "INSPECTION_OVERDUE"}

pytestmark = pytest.mark.played


@pytest.mark.proves("R26", "R27", "R31", "R66", "R68", "R73", "R75")
@pytest.mark.parametrize(
    ("generation", "inspected_by"), [("legacy_ir", "warehouse"), ("v2", "platform")], ids=["legacy_ir", "v2"]
)
def test_a_shop_on_rebound_agrees_with_the_sandbox(tmp_path: Path, generation: str, inspected_by: str) -> None:
    config = WorldConfig(
        orders=14,
        days=1,
        skus=8,
        start=START,
        return_rate=1.0,
        multi_unit_rate=0.5,
        damaged_rate=0.2,
        wrong_item_rate=0.1,
        missing_rate=0.1,
        platform="rebound",
        rebound_generation=generation,  # type: ignore[arg-type]
    )
    with played(tmp_path, config, inspected_by=inspected_by) as one:
        for days in STEPS_DAYS:
            one.sandbox.advance(timedelta(days=days))
            one.clock.move_to(one.sandbox.world.clock.now())
            one.passed()
        one.settle()
        assert one.broken_promises() == []
        facts = one.sandbox.truth()["facts"]
        assert facts["platform_returns"] == facts["returns"] > 3
        assert facts["refunds"] > 2
        assert {found.type for found in one.app.ledger.exceptions()} <= FOUND_IN_PARCELS
        labels = "SELECT count(*) FROM lake.core.mirakl__returns WHERE rma IS NOT NULL AND label_url IS NULL"
        assert one.app.con.execute(labels).fetchall() == [(0,)]
        assert [check.message for check in one.close().checks if not check.ok] == []
        blobs = "SELECT count(*) FROM lake.landing.payloads WHERE source = 'rebound' AND (body LIKE '%\"label\"%' OR body LIKE '%Lane%')"
        assert one.app.con.execute(blobs).fetchall() == [(0,)]
