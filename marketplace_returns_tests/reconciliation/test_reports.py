"""The tables that finance reads beside the proofs: VAT, accruals, commissions, cut-off, ages, timing, what was done by hand."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from marketplace_returns.reconciliation.invariants import check, check_month
from marketplace_returns.reconciliation.variances import decide
from marketplace_returns.settings import Accruals
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_L = "lake.core.mirakl__order_lines"
_R = "lake.core.mirakl__refunds"
_PLANTED = ("rate", "credit", "manual", "old", "shipped", "parted", "missing", "late")


def _plant(world: World) -> None:
    """Plant one case each on order lines of one unit that are alone in their orders, were ordered in mid October and came back."""
    found = [
        row["order_line_id"]
        for row in world.rows(
            f"""SELECT l.order_line_id FROM {_L} AS l INNER JOIN {_R} AS r USING (order_line_id)
            WHERE l.quantity = 1 AND l.debited_at BETWEEN TIMESTAMPTZ '2026-10-05 00:00:00+00' AND TIMESTAMPTZ '2026-10-15 00:00:00+00'
            ORDER BY l.order_line_id LIMIT {len(_PLANTED)}"""
        )
    ]
    world.lines = at = dict(zip(_PLANTED, found, strict=True))
    despatch = (
        "INSERT INTO lake.core.peoplevox__despatches (shop, despatch_number, sales_order_number, item_code, row_no, quantity, "
        "despatched_at, payload_hash, fetched_at, run_id) SELECT 'asos_uk', 'D' || order_line_id, order_id, offer_sku, 1, 1, "
        f"TIMESTAMPTZ '2026-10-16 10:00:00+00', 'h', now(), 'r' FROM {_L} WHERE order_line_id IN "
    )
    world.plant(
        # 15 % is agreed for denim, and the line was charged as if it were 25 %.
        f"UPDATE {_L} SET category_code = 'denim', commission_fee_minor = (price_minor + shipping_price_minor) // 4 WHERE order_line_id = '{at['rate']}'",
        f"""UPDATE lake.core.mirakl__transactions SET amount_minor = -(SELECT commission_fee_minor FROM {_L} WHERE order_line_id = '{at["rate"]}')
        WHERE order_line_id = '{at["rate"]}' AND transaction_type = 'COMMISSION_FEE'""",
        # The marketplace gave half of the commission back.
        f"UPDATE {_R} SET commission_minor = commission_minor // 2 WHERE order_line_id = '{at['credit']}'",
        f"""UPDATE lake.core.mirakl__transactions SET amount_minor = amount_minor // 2
        WHERE order_line_id = '{at["credit"]}' AND transaction_type = 'REFUND_COMMISSION_FEE'""",
        f"DELETE FROM gen_intents WHERE order_line_id = '{at['manual']}'",
        # Inspected on 1 September and never refunded.
        *(
            f"DELETE FROM {table} WHERE order_line_id = '{at['old']}'{where}"
            for table, where in (
                ("gen_intents", ""),
                (_R, ""),
                ("lake.core.mirakl__refund_taxes", ""),
                ("lake.core.mirakl__transactions", " AND refund_id IS NOT NULL"),
            )
        ),
        f"UPDATE lake.core.peoplevox__returns SET returned_at = TIMESTAMPTZ '2026-09-01 09:00:00+00' WHERE return_code = 'C{at['old']}'",
        # What left and what is shown as shipped: both, the one alone, the other alone, and shown in November.
        despatch + f"('{at['shipped']}', '{at['parted']}', '{at['late']}')",
        f"UPDATE {_L} SET shipped_at = TIMESTAMPTZ '2026-10-16 11:00:00+00' WHERE order_line_id IN ('{at['shipped']}', '{at['missing']}')",
        f"UPDATE {_L} SET shipped_at = TIMESTAMPTZ '2026-11-02 11:00:00+00' WHERE order_line_id = '{at['late']}'",
        """INSERT INTO lake.core.mirakl__cancelations (shop, cancelation_id, order_id, order_line_id, currency, amount_minor,
        shipping_amount_minor, tax_minor, created_at, updated_at, payload_hash, fetched_at, run_id) VALUES ('asos_uk', 'C1', 'O1', 'O1-1', 'GBP',
        1000, 350, 270, TIMESTAMPTZ '2026-10-09 00:00:00+00', TIMESTAMPTZ '2026-10-09 00:00:00+00', 'h', now(), 'r')""",
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("reports"), lines=300, tax_mode="TAX_EXCLUDED", plant=_plant)
    shop = made.shop.model_copy(
        update={"accruals": Accruals(requested=Decimal("0.5"), in_transit=Decimal("0.9"), expected=Decimal("0.25"))}
    )
    made.settings = made.settings.model_copy(update={"shops": {shop.name: shop}})
    made.close()
    yield made
    made.con.close()


def _sum(world: World, query: str) -> int:
    (row,) = world.rows(f"SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) AS amount FROM ({query})")
    return int(row["amount"])


@pytest.mark.proves("I13")
def test_vat_is_what_the_log_booked_and_stands_on_the_net_prices(world: World) -> None:
    for direction, types in (
        ("output_sales", "'ORDER_AMOUNT_TAX', 'ORDER_SHIPPING_AMOUNT_TAX'"),
        ("output_refunds", "'REFUND_ORDER_AMOUNT_TAX', 'REFUND_ORDER_SHIPPING_AMOUNT_TAX'"),
    ):
        booked = _sum(
            world,
            f"""SELECT amount_minor AS amount FROM lake.core.mirakl__transactions WHERE transaction_type IN ({types})
            AND created_at >= TIMESTAMPTZ '2026-09-30 23:00:00+00' AND created_at < TIMESTAMPTZ '2026-11-01 00:00:00+00'""",
        )
        stated = _sum(world, f"SELECT tax_minor AS amount FROM lake.recon.vat_summary WHERE direction = '{direction}'")
        assert stated == booked != 0
    charges = {
        row["tax_code"]: (row["net_minor"], row["tax_minor"])
        for row in world.rows("SELECT * FROM lake.recon.vat_summary WHERE direction = 'input'")
    }
    assert charges["subscription"] == (2500, 500)
    assert charges["manual"] == (-1500, 0)


@pytest.mark.proves("I12")
def test_wrong_rate_and_short_credit_are_found_and_rounding_is_not_accused(world: World) -> None:
    found = {
        row["order_line_id"]: row
        for row in world.rows("SELECT * FROM lake.recon.commission_variance WHERE variance_code <> 'ROUNDING'")
    }
    assert set(found) == {world.lines["rate"], world.lines["credit"]}
    rate, credit = found[world.lines["rate"]], found[world.lines["credit"]]
    assert rate["variance_code"] == "COMMISSION_RATE"
    (line,) = world.rows(f"SELECT * FROM {_L} WHERE order_line_id = '{world.lines['rate']}'")
    base = line["price_minor"] + line["shipping_price_minor"]
    assert rate["expected_commission_minor"] == round(Decimal(base) * Decimal("0.15"))
    assert rate["charged_commission_minor"] == base // 4
    assert credit["variance_code"] == "COMMISSION_CREDIT_MISSING"
    assert credit["difference_minor"] == credit["expected_credit_minor"] - credit["credited_minor"] > 1
    proof = next(each for each in check_month(world.con, world.shop, OCTOBER) if each.id == "I12")
    assert (proof.ok, proof.failed) == (False, 2)
    # The log says what the order says, so that nothing else tells of them.
    told = {
        (plan.entity["order_line_id"], plan.cause): plan
        for plan in decide(world.con, world.shop, OCTOBER).exceptions
        if "COMMISSION" in plan.cause
    }
    assert set(told) == {(world.lines["rate"], "COMMISSION_RATE"), (world.lines["credit"], "COMMISSION_CREDIT_MISSING")}
    assert told[world.lines["credit"], "COMMISSION_CREDIT_MISSING"].amount_minor == credit["difference_minor"]


def test_what_was_done_by_hand_is_listed(world: World) -> None:
    rows = {row["kind"]: row for row in world.rows("SELECT * FROM lake.recon.manual_portal_actions")}
    assert set(rows) == {"refund", "cancelation", "manual_credit"}
    assert rows["refund"]["order_line_id"] == world.lines["manual"]
    assert rows["cancelation"]["amount_minor"] == 1620
    assert rows["manual_credit"]["amount_minor"] == 1500


def test_unmatched_items_have_their_age_and_owner(world: World) -> None:
    rows = {row["reference"]: row for row in world.rows("SELECT * FROM lake.recon.aged_unmatched")}
    old = rows[f"unit:{world.lines['old']}#1"]
    assert (old["bucket"], old["age_days"], old["kind"]) == ("31-60", 60, "RECEIPT_WITHOUT_REFUND")
    assert old["owner"] == "customer_experience"
    manual = rows[f"refund:R{world.lines['manual']}"]
    assert manual["owner"] == "finance"
    assert all(row["owner"] and row["amount_minor"] for row in rows.values())


def test_cut_off_of_revenue_names_both_sides(world: World) -> None:
    states = {row["order_line_id"]: row["state"] for row in world.rows("SELECT * FROM lake.recon.despatch_vs_revenue")}
    assert states == {
        world.lines["shipped"]: "BOTH",
        world.lines["parted"]: "DESPATCHED_NOT_SHIPPED",
        world.lines["missing"]: "SHIPPED_NOT_DESPATCHED",
        world.lines["late"]: "DESPATCHED_NOT_SHIPPED",
    }


def test_timing_differences_say_which_month_takes_over(world: World) -> None:
    rows = world.rows("SELECT * FROM lake.recon.timing_differences")
    (late,) = [row for row in rows if row["cause"] == "DEBITED_NOT_SHIPPED"]
    assert (late["reference"], late["from_month"], late["to_month"]) == (world.lines["late"], "2026-10", "2026-11")
    pending = [row for row in rows if row["cause"] == "TIMING_REFUND_PENDING"]
    assert {row["to_month"] for row in pending} <= {"2026-11", None}
    assert pending


@pytest.mark.proves("I8")
def test_returned_goods_roll_from_opening_to_closing(world: World) -> None:
    rows = world.rows("SELECT * FROM lake.recon.returns_physical_roll ORDER BY row_no")
    assert (rows[0]["stage"], rows[-1]["stage"]) == ("opening", "closing")
    for column in ("quantity", "value_minor"):
        assert sum(row[column] for row in rows[:-1]) == rows[-1][column]
    # The unit that came on 1 September stays; the one refunded by hand has left.
    assert rows[0]["quantity"] >= 1
    assert rows[-1]["quantity"] == _sum(
        world, "SELECT count(*) AS amount FROM lake.recon.aged_unmatched WHERE reference LIKE 'unit:%'"
    )


@pytest.mark.proves("I14")
def test_liability_rolls_and_is_weighed_by_stage(world: World) -> None:
    lines = {row["line"]: row["amount_minor"] for row in world.rows("SELECT * FROM lake.recon.refund_accrual_bridge")}
    moved = sum(
        amount for line, amount in lines.items() if line.startswith("liability_") and line != "liability_closing"
    )
    assert moved == lines["liability_closing"]
    assert sum(amount for line, amount in lines.items() if line.startswith("closing_")) == lines["liability_closing"]
    assert lines["accrual_refunds"] == lines["cash_refunds"] + lines["liability_closing"] - lines["liability_opening"]
    # Received is owed whole with its tax, requested by half, and a quarter of what may still be asked for.
    (old,) = world.rows(
        f"""SELECT l.price_minor + t.amount_minor AS owed FROM {_L} AS l INNER JOIN lake.core.mirakl__order_line_taxes AS t USING (order_line_id)
        WHERE l.order_line_id = '{world.lines["old"]}' AND t.tax_kind = 'product'"""
    )
    assert lines["closing_received"] >= old["owed"]
    assert lines["closing_requested"] > 0
    shipped = _sum(
        world,
        f"""SELECT price_minor AS amount FROM {_L} WHERE shipped_at >= TIMESTAMPTZ '2026-10-04 00:00:00+00'
        AND shipped_at < TIMESTAMPTZ '2026-11-01 00:00:00+00' AND order_line_id NOT IN (SELECT order_line_id FROM lake.core.return_unit_assignments)""",
    )
    assert lines["closing_expected"] == round(Decimal(shipped) * Decimal("0.25"))
    weighed_again = check(world.con, world.shop, OCTOBER, "I14")
    assert weighed_again.ok, weighed_again.message
