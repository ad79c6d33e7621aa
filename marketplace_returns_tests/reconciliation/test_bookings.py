"""A close reads what was added up as the log landed, and closes nothing where that is not what the log says."""

from collections.abc import Iterator
from typing import Any

import pytest

from marketplace_returns.errors import ContractBroken
from marketplace_returns.lake import bookings
from marketplace_returns_tests.reconciliation.generate import SHOP
from marketplace_returns_tests.reconciliation.worlds import World, make_world

_SALE = "kind = 'sale' AND booked_from >= TIMESTAMPTZ '2026-10-10 00:00:00+00'"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("bookings"), lines=60, tax_mode="TAX_EXCLUDED")
    made.close()
    yield made
    made.con.close()


@pytest.mark.proves("R107", "I5", "I6")
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            f"UPDATE lake.core.bookings SET product_minor = product_minor + 1 WHERE subject_id = (SELECT min(subject_id) FROM lake.core.bookings WHERE {_SALE})",
            "sales in GBP",
        ),
        ("DELETE FROM lake.core.bookings WHERE kind = 'refund'", "refunds in GBP"),
        (f"INSERT INTO lake.core.bookings SELECT * FROM lake.core.bookings WHERE {_SALE}", "sales in GBP"),
        # Of the right sum, booked at another time.
        (
            "UPDATE lake.core.bookings SET booked_from = booked_from - INTERVAL 40 DAY WHERE kind = 'refund'",
            "refunds in GBP as of the start of the month",
        ),
        # The log has a line that the bookings have not.
        (
            "UPDATE lake.core.mirakl__transactions SET amount_minor = amount_minor - 1 WHERE transaction_type = 'COMMISSION_VAT'",
            "sales in GBP",
        ),
    ],
    ids=["a penny", "none", "twice", "other time", "log moved"],
)
def test_wrong_bookings_close_nothing_and_are_made_anew_from_the_log(world: World, wrong: str, told: str) -> None:
    before = _month(world)
    world.lake.transact(world.con, "test", "wrong", lambda con: con.execute(wrong))

    with pytest.raises(ContractBroken, match=rf"the bookings of {SHOP} are not .*{told}.*lake rebuild"):
        world.close()

    assert _month(world) == before
    world.lake.transact(world.con, "test", "mend", lambda con: bookings.remake(con, SHOP))
    world.close()


@pytest.mark.proves("I5")
@pytest.mark.played
def test_lines_of_the_version_before_have_their_taxes_from_the_taxes(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = make_world(tmp_path_factory.mktemp("untold"), lines=40, tax_mode="TAX_EXCLUDED")
    made.close()
    told = _month(made)
    made.plant("UPDATE lake.core.mirakl__order_lines SET product_tax_minor = NULL, shipping_tax_minor = NULL")

    made.close()

    assert any(row["order_sales_tax_minor"] for row in told)
    assert _month(made) == told
    made.con.close()


@pytest.mark.proves("I5")
def test_a_late_correction_is_held_against_all_that_was_booked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A line that was debited in September and corrected in October is a row of October, with its September's money."""
    made = make_world(tmp_path_factory.mktemp("late"), lines=60)
    (line,) = made.rows("SELECT * FROM lake.core.mirakl__order_lines ORDER BY created_at, order_line_id LIMIT 1")
    columns = "shop, currency, payment_state, order_id, order_line_id, payload_hash, fetched_at, run_id"
    made.plant(
        f"""INSERT INTO lake.core.mirakl__transactions ({columns}, transaction_id, transaction_type, amount_minor, created_at, updated_at)
        SELECT {columns}, 'TLATE', 'ORDER_AMOUNT', -100, TIMESTAMPTZ '2026-10-20 00:00:00+00', TIMESTAMPTZ '2026-10-20 00:00:00+00'
        FROM lake.core.mirakl__transactions WHERE order_line_id = '{line["order_line_id"]}' AND transaction_type = 'ORDER_AMOUNT'"""
    )

    made.close()

    (row,) = (row for row in _month(made) if row["order_line_id"] == line["order_line_id"])
    assert row["ledger_sales_minor"] == line["price_minor"] - 100
    assert row["ledger_commission_minor"] == -line["commission_fee_minor"]
    made.con.close()


def _month(world: World) -> list[dict[str, Any]]:
    return world.rows("SELECT * FROM lake.recon.order_vs_ledger ORDER BY ALL")
