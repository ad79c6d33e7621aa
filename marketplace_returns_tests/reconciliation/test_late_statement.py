"""A payout cycle whose statement comes after its month is signed: the next month carries into it what was posted as in no cycle."""

from datetime import UTC, datetime

import pytest

from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import check_month
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_C, _CYCLE = "lake.core.mirakl__billing_cycles", "cycle-2026-10-21"
NOVEMBER = OCTOBER.next()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """October, signed without the statement of a cycle that was paid in it; November, closed with it."""

    def plant(world: World) -> None:
        world.con.execute(f"CREATE TEMP TABLE late AS SELECT * FROM {_C} WHERE billing_cycle_id = '{_CYCLE}'")
        world.plant(f"DELETE FROM {_C} WHERE billing_cycle_id = '{_CYCLE}'")

    made = make_world(tmp_path_factory.mktemp("late"), lines=120, plant=plant)
    signed = SignedMonth(made.close().lake_version, datetime(2026, 11, 2, tzinfo=UTC))
    made.plant(f"INSERT INTO {_C} SELECT * REPLACE (TIMESTAMPTZ '2026-11-20 00:00:00+00' AS fetched_at) FROM late")
    made.close(NOVEMBER, before=signed)
    return made


@pytest.mark.proves("R111", "I15")
def test_its_lines_are_carried_forward_once_and_the_pair_nets_to_nothing(world: World) -> None:
    (paid,) = world.con.execute(
        f"SELECT amount_to_seller_minor FROM {_C} WHERE billing_cycle_id = '{_CYCLE}'"
    ).fetchone() or (0,)
    posted = world.rows(
        f"""SELECT description, debit_minor - credit_minor AS minor FROM lake.recon.journal_lines
        WHERE month = '2026-11' AND reference = '{_CYCLE}' ORDER BY line_no"""
    )
    assert posted == [
        {"description": "carried forward from earlier months", "minor": -paid},
        {"description": "payout due", "minor": paid},
    ]
    assert [check.message for check in check_month(world.con, world.shop, NOVEMBER) if not check.ok] == []


@pytest.mark.proves("R111")
def test_its_lines_are_carried_out_of_the_one_month_and_into_the_other(world: World) -> None:
    carried = world.rows(
        f"SELECT month, cause, amount_minor FROM lake.recon.timing_differences WHERE reference = '{_CYCLE}' ORDER BY month"
    )
    assert [(row["month"], row["cause"]) for row in carried] == [("2026-10", "CARRIED_OUT"), ("2026-11", "CARRIED_IN")]
    assert len({row["amount_minor"] for row in carried}) == 1
