"""A month without anomalies: every identity holds to 0.00, in both tax modes, and closing twice changes nothing.

The second shape has amounts that nothing divides, units that come back one by one, three decimals, and cycles that cross the month's end.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from marketplace_returns.lake.connection import UNSAFE_OPTIMIZERS
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import close, variances
from marketplace_returns.reconciliation.invariants import INVARIANTS, check_month
from marketplace_returns.reconciliation.tables import MONTHS, PACK_TABLES
from marketplace_returns_tests.reconciliation.generate import Shape
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_EVEN = Shape()
_UNEVEN = Shape(
    currency="KWD", tax_mode="MIXED", cycle_days=(5, 15, 25), is_cut_at_midnight=True, is_uneven=True, seed=2
)


@pytest.fixture(scope="module", params=[_EVEN, _UNEVEN], ids=["even", "uneven"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("clean"), lines=400, shape=request.param)
    made.close()
    yield made
    made.con.close()


def test_a_close_leaves_its_connection_as_it_was(world: World) -> None:
    assert world.rows("SELECT current_setting('disabled_optimizers') AS name") == [{"name": UNSAFE_OPTIMIZERS}]


@pytest.mark.proves("R6", "R105")
def test_every_invariant_holds_to_the_penny(world: World) -> None:
    results = check_month(world.con, world.shop, OCTOBER)

    assert {result.id for result in results} == set(INVARIANTS)
    assert [result.message for result in results if not result.ok] == []
    assert all(result.has_data and result.difference_minor == {} for result in results)


@pytest.mark.proves("R17")
def test_every_payout_is_proven_and_every_refund_matched_or_in_time(world: World) -> None:
    assert world.result is not None
    assert world.result.codes["payout_proof"] == {"PROVEN": 3}
    assert set(world.result.codes["refund_three_way"]) == {"MATCHED", "TIMING_REFUND_PENDING"}
    assert set(world.result.codes["order_vs_ledger"]) == {""}


@pytest.mark.proves("I2")
def test_components_of_a_cycle_add_up_to_its_payout(world: World) -> None:
    sums = world.rows(
        """SELECT p.statement_amount_minor AS payout, sum(c.ledger_amount_minor) AS components
        FROM lake.recon.payout_proof AS p INNER JOIN lake.recon.payout_components AS c USING (shop, month, billing_cycle_id)
        GROUP BY ALL"""
    )

    assert len(sums) == 3
    assert all(row["payout"] == row["components"] for row in sums)


@pytest.mark.proves("I8")
def test_returned_goods_have_both_ends_where_one_is_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path, lines=40)
    world.close(OCTOBER.next())
    rows = world.rows("SELECT stage, quantity, value_minor FROM lake.recon.returns_physical_roll ORDER BY row_no")
    world.con.close()

    assert rows[0]["stage"] == "opening"
    assert rows[0]["quantity"] > 0
    assert rows[-1] == {"stage": "closing", "quantity": 0, "value_minor": 0}, "all were paid back by then"


@pytest.mark.proves("I17")
def test_every_row_in_is_a_row_out(world: World) -> None:
    """I17: each refund and each order line of the month is in exactly one row."""
    (lines,) = world.rows(
        """SELECT count(*) AS wanted, (SELECT count(*) FROM lake.recon.order_vs_ledger) AS found
        FROM lake.core.mirakl__order_lines
        WHERE debited_at >= TIMESTAMPTZ '2026-09-30 23:00:00+00' AND debited_at < TIMESTAMPTZ '2026-11-01 00:00:00+00'"""
    )
    (refunds,) = world.rows(
        """SELECT count(*) AS wanted, (SELECT count(*) FROM lake.recon.refund_three_way WHERE match_key LIKE 'refund:%') AS found
        FROM lake.core.mirakl__refunds
        WHERE created_at < TIMESTAMPTZ '2026-11-01 00:00:00+00'
            AND (paid_at IS NULL OR paid_at >= TIMESTAMPTZ '2026-09-30 23:00:00+00')"""
    )

    assert lines["wanted"] == lines["found"] > 0
    assert refunds["wanted"] == refunds["found"] > 0


def test_what_is_carried_in_and_out_is_the_opening_and_the_closing(world: World) -> None:
    carried = {
        row["cause"]: row["amount_minor"]
        for row in world.rows(
            """SELECT cause, CAST(sum(amount_minor) AS BIGINT) AS amount_minor FROM lake.recon.timing_differences
            WHERE cause LIKE 'CARRIED%' GROUP BY cause"""
        )
    }
    ends = {
        row["component"]: row["amount_minor"]
        for row in world.rows("SELECT * FROM lake.recon.control_roll_forward WHERE component IN ('opening', 'closing')")
    }
    assert carried == {"CARRIED_IN": ends["opening"], "CARRIED_OUT": ends["closing"]}


@pytest.mark.proves("R107")
def test_keys_of_every_table_are_unique(world: World) -> None:
    for pack_table in PACK_TABLES:
        key = ", ".join(pack_table.table.key)
        twice = world.rows(f"SELECT {key} FROM {pack_table.table.path} GROUP BY {key} HAVING count(*) > 1")
        assert twice == [], pack_table.name


def test_a_clean_month_opens_no_exception(world: World) -> None:
    decision = variances.decide(world.con, world.shop, OCTOBER, check_month(world.con, world.shop, OCTOBER))

    assert decision.exceptions == ()
    assert decision.intents == ()
    assert decision.lane == "month_end:2026-10"


@pytest.mark.proves("R99")
def test_closing_twice_replaces_the_month_with_the_same_rows(world: World) -> None:
    before = {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES}

    first, again = world.result, world.close()

    assert first is not None
    assert again.rows == first.rows
    assert {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES} == before


@pytest.mark.proves("R99")
@pytest.mark.parametrize("most_side_by_side", [1_000_000, 0])
def test_a_long_log_is_closed_to_the_same_rows(
    world: World, monkeypatch: pytest.MonkeyPatch, most_side_by_side: int
) -> None:
    """Of which lines are not copied, and whose joins are in another order, on all cores; of a very long one table after table."""
    before = {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES}
    monkeypatch.setattr(close, "SMALL_LOG_LINES_MAX", 0)
    monkeypatch.setattr(close, "SIDE_BY_SIDE_LINES_MAX", most_side_by_side)

    world.close()

    assert {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES} == before
    assert [result.message for result in check_month(world.con, world.shop, OCTOBER) if not result.ok] == []


def test_tables_that_have_too_little_memory_side_by_side_are_made_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES}
    make = close._Making._make
    left = ["refund_three_way"]

    def short_of_memory(making: close._Making, con: DuckDBPyConnection, name: str) -> None:
        make(making, con, name)
        if name in left:
            left.remove(name)
            raise duckdb.OutOfMemoryException("failed to pin block")

    monkeypatch.setattr(close._Making, "_make", short_of_memory)
    world.close()

    assert left == []
    assert {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES} == before


def test_a_month_that_was_closed_before_closed_months_were_kept_is_replaced_too(world: World) -> None:
    before = {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES}
    world.con.execute(f"DROP TABLE {MONTHS.path}")

    world.close()

    assert {t.name: world.rows(f"SELECT * FROM {t.table.path} ORDER BY ALL") for t in PACK_TABLES} == before
    assert world.rows(f"SELECT month FROM {MONTHS.path}") == [{"month": str(OCTOBER)}]


@pytest.mark.proves("I3")
def test_next_month_opens_with_what_this_one_closed(world: World) -> None:
    november = Month.parse("2026-11")

    world.close(november)

    amounts = world.rows(
        """SELECT month, component, amount_minor FROM lake.recon.control_roll_forward
        WHERE (month = '2026-10' AND component = 'closing') OR (month = '2026-11' AND component = 'opening')"""
    )
    assert len({row["amount_minor"] for row in amounts}) == 1
    proofs = {result.id: result for result in check_month(world.con, world.shop, november)}
    assert proofs["I3"].ok
    has_reserve = world.rows("SELECT 1 FROM lake.recon.reserve_roll_forward WHERE month = '2026-11'") != []
    assert proofs["I3"].checked == (5 if has_reserve else 2)
    assert [result.message for result in proofs.values() if not result.ok] == []


@pytest.mark.proves("R18", "R79")
def test_finance_reads_the_marketplace_and_customer_care_the_live_return(tmp_path: Path) -> None:
    """What the returns platform says moves what care sees, and no figure that finance signs."""
    made = make_world(tmp_path, lines=60)
    signed = ("payout_proof", "payout_components", "control_roll_forward", "order_vs_ledger", "journal_lines")

    def read() -> list[list[dict[str, object]]]:
        made.close()
        return [made.rows(f"SELECT * FROM lake.recon.{name} ORDER BY ALL") for name in signed]

    def seen_by_care() -> list[dict[str, object]]:
        return made.rows("SELECT * FROM model.platform_returns ORDER BY ALL")

    before, care_before = read(), seen_by_care()
    made.plant(
        "UPDATE lake.core.reveni__returns SET status = 'ON_HOLD', refund_amount_minor = refund_amount_minor + 100"
    )
    assert seen_by_care() != care_before
    assert read() == before
    made.con.close()
