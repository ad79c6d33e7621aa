"""Which rate of the contract a commission is held against: the one of the day, by the shop's clock, on which the line was ordered."""

from datetime import datetime
from pathlib import Path

import pytest

from marketplace_returns_tests.reconciliation.worlds import World, make_world

_L, _T = "lake.core.mirakl__order_lines", "lake.core.mirakl__transactions"


@pytest.mark.proves("I12")
@pytest.mark.parametrize(
    ("ordered_at", "percent"),
    [("2026-10-14 22:59:59", 15), ("2026-10-14 23:00:00", 20)],
    ids=["the last second of the old rate", "midnight in London, not yet in UTC"],
)
def test_a_rate_begins_at_the_shops_midnight(tmp_path: Path, ordered_at: str, percent: int) -> None:
    def plant(world: World) -> None:
        (line,) = world.rows(
            f"""SELECT min(order_line_id) AS id FROM {_L} WHERE debited_at > TIMESTAMPTZ '2026-10-14 00:00:00+00'
            AND order_line_id NOT IN (SELECT order_line_id FROM lake.core.mirakl__refunds)"""
        )
        world.lines["denim"] = line["id"]
        world.con.execute(
            "INSERT INTO memory.mapping.commission_rates BY NAME SELECT * REPLACE (DATE '2026-10-15' AS valid_from, 0.20 AS rate) "
            "FROM memory.mapping.commission_rates WHERE category = 'denim'"
        )
        world.plant(
            f"""UPDATE {_L} SET category_code = 'denim', created_at = TIMESTAMPTZ '{datetime.fromisoformat(ordered_at)}+00',
            price_minor = 10000, shipping_price_minor = 0, commission_fee_minor = {percent * 100} WHERE order_line_id = '{line["id"]}'""",
            f"UPDATE {_T} SET amount_minor = {-percent * 100} WHERE order_line_id = '{line['id']}' AND transaction_type = 'COMMISSION_FEE'",
        )

    world = make_world(tmp_path, lines=120, plant=plant)
    world.close()
    varying = (
        "SELECT expected_commission_minor, variance_code FROM lake.recon.commission_variance WHERE order_line_id = '{}'"
    )
    assert world.rows(varying.format(world.lines["denim"])) == []
