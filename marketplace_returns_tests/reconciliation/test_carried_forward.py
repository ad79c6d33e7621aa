"""What no payout cycle holds at a month's end rolls to the next month's end, through every month, and to the penny (I15)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import drill_down
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import FailingRow, check
from marketplace_returns_tests.reconciliation.generate import Shape, generate
from marketplace_returns_tests.reconciliation.opened import (
    ALL,
    books,
    unlike_control,
    unlike_journals,
    unlike_vat_of_charges,
)
from marketplace_returns_tests.reconciliation.worlds import World, make_world

_C, _T = "lake.core.mirakl__billing_cycles", "lake.core.mirakl__transactions"
_PLACES = {"GBP": "Europe/London", "JPY": "Asia/Tokyo", "KWD": "Asia/Kuwait"}
JANUARY = Month.parse("2028-01")
FEBRUARY = JANUARY.next()
MARCH = FEBRUARY.next()
"""A leap February, and a March that loses an hour in London."""
ROLLED, STATED = "in no payout cycle", "carried into cycles"


@dataclass
class Rolled:
    """Three months of a shop, each signed before the next is read."""

    world: World
    currency: str
    signed: dict[Month, SignedMonth] = field(default_factory=dict)

    def shape(self, month: Month) -> Shape:
        # Closed with the month's first day, so that a cycle takes over what the month before left; in Tokyo on its first microsecond.
        return Shape(
            month=month,
            currency=self.currency,
            time_zone=_PLACES[self.currency],
            tax_mode="MIXED",
            cycle_days=(1, 11, 29),
            is_cut_at_midnight=self.currency == "JPY",
            is_uneven=True,
            seed=month.month,
        )

    def close(self, month: Month) -> None:
        closed = self.world.close(month, run_id=str(month), before=self.signed.get(month.previous()))
        self.signed[month] = SignedMonth(closed.lake_version, self.shape(month).seen_at)

    def rows(self, month: Month, subject: str, *planted: str) -> list[FailingRow]:
        """Return the failing rows of a month's I15 under a subject, with something planted that is taken back."""
        con = self.world.con
        con.execute("BEGIN")
        try:
            for each in planted:
                con.execute(each)
            result = check(con, self.world.shop, month, "I15")
        finally:
            con.execute("ROLLBACK")
        return [row for row in result.failing if row.subject == subject]


def _play(folder: Path, currency: str) -> Rolled:
    """Close three months one by one; of each the orders of the last days before it came late, and the statement of a January cycle in March."""
    rolled = Rolled(make_world(folder, lines=0, shape=Shape(currency=currency, time_zone=_PLACES[currency])), currency)
    world = rolled.world
    for month in (JANUARY, FEBRUARY, MARCH):
        generate(world.lake, world.con, lines=160, shape=rolled.shape(month))
        if month == JANUARY:
            closed = "created_at BETWEEN TIMESTAMPTZ '2028-01-28' AND TIMESTAMPTZ '2028-01-30'"
            world.con.execute(f"CREATE TEMP TABLE late AS FROM {_C} WHERE {closed}")
            world.plant(f"DELETE FROM {_C} WHERE {closed}")
        if month == MARCH:
            read_at = f"TIMESTAMPTZ '{rolled.shape(MARCH).seen_at.isoformat()}'"
            world.plant(f"INSERT INTO {_C} SELECT * REPLACE ({read_at} AS fetched_at) FROM late")
        rolled.close(month)
    return rolled


@pytest.fixture(scope="module", params=list(_PLACES))
def rolled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    made = _play(tmp_path_factory.mktemp("rolled"), request.param)
    yield made
    made.world.con.close()


def _control(rolled: Rolled, month: Month) -> dict[str, int]:
    return {
        row["description"]: row["minor"]
        for row in rolled.world.rows(
            f"""SELECT description, CAST(sum(debit_minor - credit_minor) AS BIGINT) AS minor FROM lake.recon.journal_lines
            WHERE month = '{month}' AND account = 'marketplace_control' GROUP BY description"""
        )
    }


@pytest.mark.played
@pytest.mark.proves("I15", "R111")
def test_what_is_in_no_cycle_rolls_through_three_months(rolled: Rolled) -> None:
    at_end = {
        row["month"]: row["minor"]
        for row in rolled.world.rows(
            """SELECT month, CAST(sum(amount_minor) AS BIGINT) AS minor FROM lake.recon.timing_differences
            WHERE cause = 'CARRIED_OUT' GROUP BY month"""
        )
    }
    for month in (FEBRUARY, MARCH):
        posted = _control(rolled, month)
        late = rolled.world.rows(f"SELECT 1 FROM lake.recon.prior_period_adjustments WHERE month = '{month}'")
        assert late, "the month has lines of the one before"
        assert posted["carried forward from earlier months"] < 0 < posted["not in a payout cycle at month end"]
        assert at_end[str(month)] == (
            at_end[str(month.previous())]
            + posted["not in a payout cycle at month end"]
            + posted["carried forward from earlier months"]
        )
        result = check(rolled.world.con, rolled.world.shop, month, "I15")
        assert (result.ok, result.difference_minor) == (True, {}), result.message
    # The statement that came two months late is carried where it came, once.
    (late_cycle,) = rolled.world.rows("SELECT billing_cycle_id AS id FROM late")
    carried_in = rolled.world.rows(
        f"SELECT month FROM lake.recon.timing_differences WHERE cause = 'CARRIED_IN' AND reference = '{late_cycle['id']}'"
    )
    assert carried_in == [{"month": str(MARCH)}]
    # By another route: the log beside the statements.
    (left,) = rolled.world.rows(
        f"""SELECT CAST(sum(t.amount_minor) AS BIGINT) AS minor
        FROM {_T} AS t
        LEFT JOIN {_C} AS c ON c.billing_cycle_id = t.billing_cycle_id
        WHERE t.transaction_type <> 'PAYMENT' AND t.created_at < TIMESTAMPTZ '{rolled.shape(MARCH).bounds[1].isoformat()}'
            AND coalesce(c.created_at >= TIMESTAMPTZ '{rolled.shape(MARCH).bounds[1].isoformat()}', true)"""
    )
    assert at_end[str(MARCH)] == left["minor"]


@pytest.mark.played
@pytest.mark.proves("R7", "I15", "R111")
@pytest.mark.parametrize("month", [JANUARY, FEBRUARY, MARCH], ids=str)
def test_journals_vat_on_charges_and_the_control_account_are_the_log_lines_that_they_are_opened_to(
    rolled: Rolled, month: Month, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_down, "LARGEST_MAX", ALL)
    asked = books(rolled.world, rolled.signed)
    assert unlike_journals(rolled.world, asked, month) == []
    assert unlike_vat_of_charges(rolled.world, asked, month) == []
    assert unlike_control(rolled.world, asked, month) == []


@pytest.mark.played
@pytest.mark.proves("I15")
@pytest.mark.parametrize(
    ("month", "wrong", "differs"),
    [
        ("2028-02", "UPDATE lake.recon.journal_lines SET debit_minor = debit_minor + 7 WHERE month = '2028-02' AND description = 'not in a payout cycle at month end'", {ROLLED: -7}),
        ("2028-02", "UPDATE lake.recon.journal_lines SET credit_minor = credit_minor + 7 WHERE month = '2028-02' AND description = 'carried forward from earlier months'", {ROLLED: 7, STATED: 7}),
        ("2028-02", "UPDATE lake.recon.timing_differences SET amount_minor = amount_minor + 7 WHERE month = '2028-01' AND cause = 'CARRIED_OUT' AND reference = 'open'", {ROLLED: -7}),
        ("2028-03", "DELETE FROM lake.recon.timing_differences WHERE month = '2028-02' AND cause = 'CARRIED_OUT'", {ROLLED: None}),
        ("2028-03", "DELETE FROM lake.recon.timing_differences WHERE month = '2028-03' AND cause = 'CARRIED_OUT'", {ROLLED: None}),
        ("2028-03", "DELETE FROM lake.recon.timing_differences WHERE month = '2028-03' AND cause = 'CARRIED_IN'", {STATED: None}),
    ],
    ids=["posted as open", "carried", "at the end of the month before", "nothing before", "nothing at the end", "stated as carried in"],
)  # fmt: skip
def test_a_figure_of_a_kept_month_that_was_changed_is_seen(
    rolled: Rolled, month: str, wrong: str, differs: dict[str, int | None]
) -> None:
    for subject in (ROLLED, STATED):
        found = [row.difference_minor for row in rolled.rows(Month.parse(month), subject, wrong)]
        if subject not in differs:
            assert found == []
        elif differs[subject] is None:
            assert len(found) == 1
        else:
            assert found == [differs[subject]]


@pytest.mark.played
@pytest.mark.proves("I15")
def test_a_line_that_vanishes_after_its_month_is_seen(tmp_path: Path) -> None:
    rolled = _play(tmp_path, "GBP")
    (gone,) = rolled.world.rows(
        f"""SELECT transaction_id, amount_minor FROM {_T} WHERE billing_cycle_id = 'cycle-2028-02-01-1' AND transaction_type = 'ORDER_AMOUNT'
        AND created_at BETWEEN TIMESTAMPTZ '2028-01-25' AND TIMESTAMPTZ '2028-01-31' ORDER BY 1 LIMIT 1"""
    )
    rolled.world.plant(f"DELETE FROM {_T} WHERE transaction_id = '{gone['transaction_id']}'")
    del rolled.signed[FEBRUARY]
    rolled.close(FEBRUARY)
    (row,) = rolled.rows(FEBRUARY, ROLLED)
    # Less is carried into the cycle than January has as in none.
    assert row.difference_minor == -gone["amount_minor"]
    rolled.world.con.close()


@pytest.mark.proves("I15", "I18")
def test_a_line_in_another_currency_than_its_cycle_rolls_too(tmp_path: Path) -> None:
    """The journals post it with its cycle, in its own currency, so it is not in no cycle, whatever the statement says of it."""
    world = make_world(tmp_path, lines=60)
    world.plant(
        f"""INSERT INTO {_T} SELECT * REPLACE ('E' || transaction_id AS transaction_id, 'EUR' AS currency, amount_minor * 3 AS amount_minor)
        FROM {_T} WHERE transaction_type = 'COMMISSION_FEE'"""
    )
    october = Month.parse("2026-10")
    for month in (october, october.next()):
        world.close(month)
        result = check(world.con, world.shop, month, "I15")
        assert result.ok, result.message
    world.con.close()


@pytest.mark.proves("I15", "R111")
@pytest.mark.parametrize("corrected_by", [0, 100])
def test_a_line_whose_cycle_is_told_late_is_carried_into_it_once(
    tmp_path: Path, corrected_by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """October had it in no cycle; the log then has it in one that October knew as closed, at times with another amount."""
    cycle = "cycle-2026-10-21"
    world = make_world(tmp_path, lines=120)
    (line,) = world.rows(
        f"""SELECT transaction_id AS id, amount_minor FROM {_T} WHERE billing_cycle_id = '{cycle}' AND transaction_type = 'ORDER_AMOUNT'
        AND created_at > TIMESTAMPTZ '2026-10-05' ORDER BY 1 LIMIT 1"""
    )
    of_line = f"WHERE transaction_id = '{line['id']}'"
    world.plant(f"UPDATE {_T} SET billing_cycle_id = NULL, amount_minor = amount_minor - {corrected_by} {of_line}")
    october = Month.parse("2026-10")
    signed = {october: SignedMonth(world.close().lake_version, datetime(2026, 11, 5, tzinfo=UTC))}
    world.plant(
        f"""UPDATE {_T} SET billing_cycle_id = '{cycle}', amount_minor = amount_minor + {corrected_by},
        fetched_at = TIMESTAMPTZ '2026-11-10' {of_line}"""
    )
    for month in (october.next(), october.next().next()):
        closed = world.close(month, before=signed[month.previous()])
        signed[month] = SignedMonth(closed.lake_version, datetime(2026, 12, 5, tzinfo=UTC))
        result = check(world.con, world.shop, month, "I15")
        assert result.ok, result.message
    monkeypatch.setattr(drill_down, "LARGEST_MAX", ALL)
    for month in (october, october.next()):
        assert unlike_journals(world, books(world, signed), month) == []
    known = line["amount_minor"] - corrected_by
    posted = world.rows(
        f"""SELECT month, description, debit_minor - credit_minor AS minor FROM lake.recon.journal_lines
        WHERE reference = '{cycle}' AND account = 'marketplace_control' AND month > '2026-10' ORDER BY ALL"""
    )
    assert posted == [
        {"month": "2026-11", "description": "carried forward from earlier months", "minor": -known},
        {"month": "2026-11", "description": "payout due", "minor": line["amount_minor"]},
    ]
    late = world.rows("SELECT amount_minor FROM lake.recon.prior_period_adjustments")
    assert [row["amount_minor"] for row in late] == ([corrected_by] if corrected_by else [])
    (paid,) = world.rows(
        f"SELECT status FROM lake.recon.payout_proof WHERE month = '2026-11' AND billing_cycle_id = '{cycle}'"
    )
    assert paid["status"] == "PROVEN"
    world.con.close()


def test_the_first_month_and_one_after_a_gap_have_nothing_before_them(tmp_path: Path) -> None:
    world = make_world(tmp_path, lines=60)
    world.close()
    for month in (Month.parse("2026-10"), Month.parse("2026-12")):
        if str(month) == "2026-12":
            world.close(month)
        assert check(world.con, world.shop, month, "I15").ok
    world.con.close()
