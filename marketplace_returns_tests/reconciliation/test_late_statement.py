"""A payout cycle whose statement comes after its month is signed: the next month carries into it what was posted as in no cycle."""

from datetime import UTC, datetime

import pytest

from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import check, check_month
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_C, _T, _CYCLE = "lake.core.mirakl__billing_cycles", "lake.core.mirakl__transactions", "cycle-2026-10-21"
_WHOLE = "cycle-2026-10-11"
"""A cycle of which nothing was there when October was signed, its lines neither."""
NOVEMBER = OCTOBER.next()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """October, signed without the statement of a cycle that was paid in it, and without all of another; November, closed with them."""

    def plant(world: World) -> None:
        world.con.execute(
            f"CREATE TEMP TABLE late AS SELECT * FROM {_C} WHERE billing_cycle_id IN ('{_CYCLE}', '{_WHOLE}')"
        )
        world.con.execute(f"CREATE TEMP TABLE late_log AS SELECT * FROM {_T} WHERE billing_cycle_id = '{_WHOLE}'")
        world.plant(
            f"DELETE FROM {_C} WHERE billing_cycle_id IN ('{_CYCLE}', '{_WHOLE}')",
            f"DELETE FROM {_T} WHERE billing_cycle_id = '{_WHOLE}'",
        )

    made = make_world(tmp_path_factory.mktemp("late"), lines=120, plant=plant)
    signed = SignedMonth(made.close().lake_version, datetime(2026, 11, 2, tzinfo=UTC))
    made.plant(
        *(
            f"INSERT INTO {table} SELECT * REPLACE (TIMESTAMPTZ '2026-11-20 00:00:00+00' AS fetched_at) FROM {late}"
            for table, late in ((_C, "late"), (_T, "late_log"))
        )
    )
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


@pytest.mark.proves("R111", "I15")
def test_what_is_posted_as_due_is_proven_for_each_such_cycle(world: World) -> None:
    """Also where two are wrong and together right, so that no sum of the month differs."""
    due = "WHERE month = '2026-11' AND description = 'payout due' AND reference"
    for cycle in (_CYCLE, _WHOLE):
        (posted,) = world.rows(
            f"SELECT debit_minor - credit_minor AS minor FROM lake.recon.journal_lines {due} = '{cycle}'"
        )
        (stated,) = world.rows(f"SELECT amount_to_seller_minor AS minor FROM {_C} WHERE billing_cycle_id = '{cycle}'")
        assert posted == stated
    world.con.execute("BEGIN")
    world.con.execute(
        f"""UPDATE lake.recon.journal_lines SET debit_minor = debit_minor + CASE reference WHEN '{_CYCLE}' THEN 7 ELSE -7 END
        {due} IN ('{_CYCLE}', '{_WHOLE}')"""
    )
    result = check(world.con, world.shop, NOVEMBER, "I15")
    world.con.execute("ROLLBACK")
    found = {(row.subject, row.difference_minor) for row in result.failing if "due" in row.detail}
    assert found == {(_CYCLE, 7), (_WHOLE, -7)}
