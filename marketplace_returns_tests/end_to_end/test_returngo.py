"""A month of a shop whose returns are ReturnGO's, held against the sandbox's own truth."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns_tests.end_to_end.played import START, Played, played

PASSES_AFTER_DAYS = (1, 1, 1, 2, 4, 2, 4, 4, 4)

pytestmark = pytest.mark.played


def live(one: Played) -> None:
    """Live through most of the month with a pass now and then; orders are accepted on the first two days."""
    for days in PASSES_AFTER_DAYS:
        one.sandbox.advance(timedelta(days=days))
        one.clock.move_to(one.sandbox.world.clock.now())
        one.passed()


@pytest.mark.proves("R47", "R48", "R57", "R59", "R61")
def test_a_returngo_shop_keeps_every_promise(tmp_path: Path) -> None:
    config = WorldConfig(
        orders=40,
        days=1,
        skus=8,
        start=START,
        platform="returngo",
        return_rate=0.9,
        multi_unit_rate=0.5,
        damaged_rate=0.15,
        missing_rate=0.0,  # a unit that never shows waits for a person
    )
    with played(tmp_path, config) as one:
        live(one)
        one.settle()
        assert one.broken_promises() == []
        closed = one.close()
        assert [check.message for check in closed.checks if not check.ok] == []
        con = one.app.con
        settled = dict(
            con.execute("SELECT status, count(*) FROM lake.core.returngo__transactions GROUP BY status").fetchall()
        )
        assert settled.keys() == {"Success", "Failed"}
        refunds = {
            refund_id for (refund_id,) in con.execute("SELECT refund_id FROM lake.core.mirakl__refunds").fetchall()
        }
        told = con.execute(
            "SELECT external_reference_id, len(CAST(item_ids AS JSON)::VARCHAR[]) FROM lake.core.returngo__transactions "
            "WHERE status = 'Success'"
        ).fetchall()
        assert {refund_id for names, _ in told for refund_id in names.split(",")} == refunds
        assert max(units for _, units in told) > 1, "a line of several units came back"
        in_transit = con.execute("SELECT count(*) FROM reported.returns WHERE shipped_at < received_at").fetchall()
        assert in_transit[0][0] > 0, "what moves no lastUpdated was seen all the same"
