"""Proofs see what is planted into a closed month, each by a route of its own: a proof that cannot fail proves nothing."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import CheckResult, check
from marketplace_returns.settings import Accruals
from marketplace_returns_tests.reconciliation.generate import Shape
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

NOVEMBER = OCTOBER.next()
_R = "lake.core.mirakl__refunds"
_T = "lake.core.mirakl__transactions"
_ROLL = "lake.recon.returns_physical_roll"
_BRIDGE = "lake.recon.refund_accrual_bridge"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """October and November closed, with goods that came and are not paid back at October's end."""
    made = make_world(tmp_path_factory.mktemp("proofs"), lines=200, tax_mode="TAX_EXCLUDED")
    made.close()
    made.close(NOVEMBER)
    yield made
    made.con.close()


def _planted(world: World, invariant: str, *statements: str, month: str = str(OCTOBER)) -> CheckResult:
    """Check with something planted, which is taken back."""
    world.con.execute("BEGIN")
    try:
        for each in statements:
            world.con.execute(each)
        return check(world.con, world.shop, OCTOBER if month == str(OCTOBER) else NOVEMBER, invariant)
    finally:
        world.con.execute("ROLLBACK")


@pytest.mark.parametrize("invariant", ["I7", "I8", "I14", "I17"])
@pytest.mark.parametrize("month", [OCTOBER, NOVEMBER], ids=str)
def test_the_months_hold_as_they_were_made(world: World, invariant: str, month: object) -> None:
    result = check(world.con, world.shop, OCTOBER if month == OCTOBER else NOVEMBER, invariant)
    assert (result.ok, result.has_data) == (True, True), result.message


@pytest.mark.proves("I8")
@pytest.mark.parametrize(
    ("month", "wrong", "subject"),
    [
        (OCTOBER, "quantity = quantity + 50 WHERE month = '2026-10' AND stage = 'closing'", "closing = received and not paid back"),
        (OCTOBER, "value_minor = value_minor + 1 WHERE month = '2026-10' AND stage = 'closing'", "closing = received and not paid back"),
        (OCTOBER, "quantity = quantity + 1 WHERE month = '2026-10' AND stage = 'received_sellable'", "opening + movements = closing"),
        (NOVEMBER, "quantity = quantity + 50 WHERE month = '2026-10' AND stage = 'closing'", "opening = closing of 2026-10"),
    ],
)  # fmt: skip
def test_a_wrong_figure_of_returned_goods_is_seen(world: World, month: object, wrong: str, subject: str) -> None:
    result = _planted(world, "I8", f"UPDATE {_ROLL} SET {wrong}", month=str(month))
    assert subject in {row.subject for row in result.failing}, result.message


@pytest.mark.proves("I8")
def test_goods_that_leave_the_roll_in_silence_are_seen(world: World) -> None:
    """Opening, what came and closing agree with each other, and not with what is there."""
    result = _planted(
        world,
        "I8",
        f"UPDATE {_ROLL} SET quantity = quantity - 1, value_minor = value_minor - 500 "
        "WHERE month = '2026-10' AND stage IN ('received_sellable', 'closing')",
    )
    assert [row.subject for row in result.failing] == ["closing = received and not paid back"]


@pytest.mark.proves("I14")
@pytest.mark.parametrize(
    ("month", "wrong", "subjects"),
    [
        # The opening is another one, and the movements are made to fit.
        (
            NOVEMBER,
            (
                "amount_minor = amount_minor + 777 WHERE month = '2026-11' AND line = 'liability_opening'",
                "amount_minor = amount_minor - 777 WHERE month = '2026-11' AND line = 'liability_remeasured'",
            ),
            {"opening = closing of 2026-10", "opening = what is owed at the month's start"},
        ),
        (
            OCTOBER,
            (
                "amount_minor = amount_minor + 777 WHERE month = '2026-10' AND line = 'liability_opening'",
                "amount_minor = amount_minor - 777 WHERE month = '2026-10' AND line = 'liability_remeasured'",
            ),
            {"opening = what is owed at the month's start"},
        ),
        # The roll and the stages are made to fit a closing that is not there.
        (
            OCTOBER,
            (
                "amount_minor = amount_minor + 50 WHERE month = '2026-10' AND line IN ('liability_closing', 'closing_received', 'liability_new')",
            ),
            {"closing_received = what is owed of it", "new = asked for in the month"},
        ),
    ],
    ids=["opening of the next", "opening of the first", "closing"],
)  # fmt: skip
def test_a_wrong_liability_is_seen(world: World, month: object, wrong: tuple[str, ...], subjects: set[str]) -> None:
    result = _planted(world, "I14", *(f"UPDATE {_BRIDGE} SET {each}" for each in wrong), month=str(month))
    assert {row.subject for row in result.failing} == subjects, result.message


@pytest.mark.proves("I17")
@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("order_vs_ledger", "order_line_id"),
        ("refund_three_way", "match_key"),
        ("payout_proof", "billing_cycle_id"),
        ("aged_unmatched", "reference"),
    ],
)
def test_a_doubled_row_is_seen(world: World, table: str, key: str) -> None:
    path = f"lake.recon.{table}"
    result = _planted(
        world, "I17", f"INSERT INTO {path} SELECT * FROM {path} WHERE month = '2026-10' ORDER BY {key} LIMIT 1"
    )
    assert not result.ok


@pytest.mark.proves("I17")
def test_a_doubled_row_does_not_stand_for_one_that_is_missing(world: World) -> None:
    path = "lake.recon.order_vs_ledger"
    place = f"order_line_id = (SELECT {{}}(order_line_id) FROM {path} WHERE month = '2026-10') AND month = '2026-10'"
    result = _planted(
        world,
        "I17",
        f"INSERT INTO {path} SELECT * FROM {path} WHERE {place.format('min')}",
        f"DELETE FROM {path} WHERE {place.format('max')}",
    )
    assert not result.ok


@pytest.mark.proves("I7")
def test_a_unit_confirmed_in_two_months_is_seen_in_the_second(world: World) -> None:
    twice = """INSERT INTO ledger.confirmed_refunds SELECT * REPLACE ('ISECOND' AS intent_id, 'RSECOND' AS refund_id,
        TIMESTAMPTZ '2026-11-05 00:00:00+00' AS confirmed_at) FROM ledger.confirmed_refunds
        WHERE confirmed_at BETWEEN TIMESTAMPTZ '2026-10-12' AND TIMESTAMPTZ '2026-10-14' ORDER BY intent_id LIMIT 1"""
    assert _planted(world, "I7", twice).ok
    result = _planted(world, "I7", twice, month=str(NOVEMBER))
    assert [row.detail for row in result.failing] == ["confirmed refunds of one unit: 2"]
    assert result.failing[0].difference_minor > 0


@pytest.mark.proves("I7")
def test_a_tax_code_is_capped_by_itself(world: World) -> None:
    """A second code gave back what the first did not: the sum of both is within what was paid."""
    touched = "created_at BETWEEN TIMESTAMPTZ '2026-10-12' AND TIMESTAMPTZ '2026-10-14'"
    refund = f"(SELECT min(refund_id) FROM {_R} WHERE {touched})"
    result = _planted(
        world,
        "I7",
        f"UPDATE lake.core.mirakl__refund_taxes SET tax_code = 'ANOTHER' WHERE tax_kind = 'product' AND refund_id = {refund}",
    )
    ((row),) = result.failing
    assert row.detail == "refunded beyond the line"
    assert result.difference_minor["GBP"] > 0


@pytest.mark.proves("I7")
def test_more_units_than_were_shipped_are_seen(world: World) -> None:
    """A unit too many of ours, whatever the marketplace shows of it."""
    again = """INSERT INTO ledger.confirmed_refunds SELECT * REPLACE ('ISECOND' AS intent_id, NULL AS refund_id,
        order_line_id || '#9' AS return_unit_id) FROM ledger.confirmed_refunds AS c
        WHERE confirmed_at BETWEEN TIMESTAMPTZ '2026-10-12' AND TIMESTAMPTZ '2026-10-14'
            AND (SELECT quantity FROM lake.core.mirakl__order_lines AS l WHERE l.order_line_id = c.order_line_id) = 1
        ORDER BY intent_id LIMIT 1"""
    result = _planted(world, "I7", again)
    assert [row.detail for row in result.failing] == ["units refunded: 2 of 1 shipped"]
    unshipped = """UPDATE lake.core.mirakl__order_lines SET line_state = 'SHIPPING', received_at = NULL WHERE order_line_id =
        (SELECT min(order_line_id) FROM ledger.confirmed_refunds WHERE confirmed_at BETWEEN TIMESTAMPTZ '2026-10-12' AND TIMESTAMPTZ '2026-10-14')"""
    assert [row.detail for row in _planted(world, "I7", unshipped).failing] == ["units refunded: 1 of 0 shipped"]


@pytest.mark.proves("I2")
def test_a_total_of_the_statement_that_differs_has_an_owner(world: World) -> None:
    """The payout is right, and two totals of the statement are not: nothing else tells of it."""
    world.con.execute("BEGIN")
    try:
        world.con.execute(
            """UPDATE lake.core.mirakl__billing_cycle_totals SET amount_minor = amount_minor + 100
            WHERE billing_cycle_id = 'cycle-2026-10-11' AND field LIKE 'total_commissions_%'"""
        )
        result = check(world.con, world.shop, OCTOBER, "I2")
        decision = variances.decide(world.con, world.shop, OCTOBER, (result,))
    finally:
        world.con.execute("ROLLBACK")
    assert not result.ok
    (plan,) = decision.exceptions
    assert (plan.type, plan.entity) == ("PAYOUT_VARIANCE", {"month": "2026-10", "invariant": "I2"})


@pytest.mark.proves("I8", "I14")
def test_what_is_known_later_of_a_signed_month_is_a_correction_of_the_next(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A parcel of October that is read in November: October stays, and November opens with what October closed with."""
    world = make_world(tmp_path_factory.mktemp("corrected"), lines=120)
    shop = world.shop.model_copy(update={"accruals": Accruals(requested=Decimal("0.5"))})
    world.settings = world.settings.model_copy(update={"shops": {shop.name: shop}})
    gone = world.rows(
        f"""SELECT order_line_id FROM {_R} WHERE created_at BETWEEN TIMESTAMPTZ '2026-10-12' AND TIMESTAMPTZ '2026-10-14'
        ORDER BY order_line_id LIMIT 1"""
    )[0]["order_line_id"]
    receipt = f"FROM lake.core.peoplevox__returns WHERE return_code = 'C{gone}'"
    given = f"FROM lake.core.receipt_assignments WHERE return_unit_id = '{gone}#1'"
    world.con.execute(f"CREATE TEMP TABLE late_receipt AS {receipt}")
    world.con.execute(f"CREATE TEMP TABLE late_assignment AS {given}")
    world.plant(
        f"DELETE {receipt}",
        f"DELETE {given}",
        f"DELETE FROM gen_intents WHERE order_line_id = '{gone}'",
        f"DELETE FROM {_R} WHERE order_line_id = '{gone}'",
        f"DELETE FROM lake.core.mirakl__transactions WHERE order_line_id = '{gone}' AND refund_id IS NOT NULL",
    )
    october = world.close()
    assert world.result is not None
    world.plant(
        "INSERT INTO lake.core.peoplevox__returns FROM late_receipt",
        "INSERT INTO lake.core.receipt_assignments FROM late_assignment",
    )

    world.close(NOVEMBER)
    for name in ("I8", "I14"):
        result = check(world.con, world.shop, NOVEMBER, name)
        assert [row.subject for row in result.failing] == ["opening = closing of 2026-10"]

    signed = SignedMonth(october.lake_version, world.rows("SELECT max(fetched_at) AS at FROM late_receipt")[0]["at"])
    world.close(NOVEMBER, before=signed)
    for name in ("I8", "I14"):
        result = check(world.con, world.shop, NOVEMBER, name)
        assert result.ok, result.message
    (price,) = (
        row["price_minor"]
        for row in world.rows(f"SELECT price_minor FROM lake.core.mirakl__order_lines WHERE order_line_id = '{gone}'")
    )
    assert world.rows(
        f"SELECT quantity, value_minor FROM {_ROLL} WHERE month = '2026-11' AND stage = 'corrections'"
    ) == [{"quantity": 1, "value_minor": price}]
    assert world.rows(
        f"SELECT line FROM {_BRIDGE} WHERE month = '2026-11' AND line = 'liability_corrections' AND amount_minor <> 0"
    )
    world.con.close()


@pytest.mark.proves("I14")
def test_a_return_called_off_later_was_owed_until_then(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Called off in November: it is in October's closing and in November's opening, and released in November."""
    world = make_world(tmp_path_factory.mktemp("released"), lines=120)
    gone = world.rows(
        f"""SELECT order_line_id FROM {_R} WHERE created_at BETWEEN TIMESTAMPTZ '2026-10-12' AND TIMESTAMPTZ '2026-10-14'
        ORDER BY order_line_id LIMIT 1"""
    )[0]["order_line_id"]
    world.plant(
        f"DELETE FROM lake.core.peoplevox__returns WHERE return_code = 'C{gone}'",
        f"DELETE FROM lake.core.receipt_assignments WHERE return_unit_id = '{gone}#1'",
        f"DELETE FROM gen_intents WHERE order_line_id = '{gone}'",
        f"DELETE FROM {_R} WHERE order_line_id = '{gone}'",
        f"DELETE FROM lake.core.mirakl__transactions WHERE order_line_id = '{gone}' AND refund_id IS NOT NULL",
        f"UPDATE lake.core.mirakl__returns SET return_state = 'OPENED' WHERE return_id = 'RT{gone}'",
    )
    world.close()
    world.plant(
        "UPDATE lake.core.mirakl__returns SET return_state = 'CANCELED', updated_at = TIMESTAMPTZ '2026-11-10 00:00:00+00' "
        f"WHERE return_id = 'RT{gone}'"
    )
    world.close(NOVEMBER)

    result = check(world.con, world.shop, NOVEMBER, "I14")
    assert result.ok, result.message
    (released,) = world.rows(
        f"SELECT amount_minor FROM {_BRIDGE} WHERE month = '2026-11' AND line = 'liability_released'"
    )
    assert released["amount_minor"] < 0
    world.con.close()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A month with a cycle of nothing, and log lines in a second currency."""
    made = make_world(tmp_path_factory.mktemp("odd"), lines=30)
    made.plant(
        """INSERT INTO lake.core.mirakl__billing_cycles SELECT * REPLACE ('cycle-of-nothing' AS billing_cycle_id, 0 AS amount_to_seller_minor,
        'TO_PAY' AS pay_out_state) FROM lake.core.mirakl__billing_cycles WHERE billing_cycle_id = 'cycle-2026-10-11'""",
        f"""INSERT INTO {_T} SELECT * REPLACE ('E' || transaction_id AS transaction_id, 'EUR' AS currency, amount_minor * 3 AS amount_minor)
        FROM {_T} WHERE transaction_type = 'COMMISSION_FEE'""",
    )
    made.close()
    yield made
    made.con.close()


@pytest.mark.proves("I1")
def test_a_cycle_of_nothing_is_proven_without_a_payment(odd: World) -> None:
    cycle = "billing_cycle_id = 'cycle-of-nothing'"
    assert odd.rows(f"SELECT pay_out_state, status FROM lake.recon.payout_proof WHERE {cycle}") == [
        {"pay_out_state": "TO_PAY", "status": "PROVEN"}
    ]
    assert odd.rows("SELECT 1 FROM lake.recon.aged_unmatched WHERE reference = 'cycle-of-nothing'") == []


@pytest.mark.proves("I15", "I18")
def test_a_journal_is_of_one_currency(odd: World) -> None:
    journals = odd.rows("SELECT DISTINCT currency, journal_id, reference FROM lake.recon.journal_lines")
    assert len({row["journal_id"] for row in journals}) == len(journals)
    assert {row["currency"] for row in journals} == {"GBP", "EUR"}
    # The shop's own currency keeps the id that its journals had before there was another.
    assert all(
        row["journal_id"] == f"asos_uk-2026-10-{row['reference']}" + ("-EUR" if row["currency"] == "EUR" else "")
        for row in journals
    )
    assert check(odd.con, odd.shop, OCTOBER, "I15").ok


@pytest.fixture(scope="module")
def untaxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A month whose shipping has no tax row of its own; goods have one or two codes, inside the price or on top."""
    shape = Shape(currency="KWD", time_zone="Asia/Kuwait", tax_mode="MIXED", is_uneven=True, seed=2)
    made = make_world(tmp_path_factory.mktemp("untaxed"), lines=200, shape=shape)
    made.plant(
        "DELETE FROM lake.core.mirakl__order_line_taxes WHERE tax_kind = 'shipping'",
        "DELETE FROM lake.core.mirakl__refund_taxes WHERE tax_kind = 'shipping'",
        "UPDATE lake.core.mirakl__order_lines SET shipping_tax_minor = 0",
        f"UPDATE {_R} SET shipping_tax_minor = 0",
    )
    made.close()
    made.close(NOVEMBER)
    yield made
    made.con.close()


@pytest.mark.proves("I13")
def test_shipping_without_a_tax_is_in_the_net(untaxed: World) -> None:
    stated = {
        row["direction"]: row["net_minor"]
        for row in untaxed.rows(
            "SELECT * FROM lake.recon.vat_summary WHERE month = '2026-10' AND tax_code = '' AND direction LIKE 'output%'"
        )
    }
    shipping = {
        "output_sales": "SELECT sum(shipping_price_minor) AS minor FROM lake.core.mirakl__order_lines WHERE debited_at {}",
        "output_refunds": f"SELECT -sum(shipping_amount_minor) AS minor FROM {_R} WHERE paid_at {{}}",
    }
    within = ">= TIMESTAMPTZ '2026-09-30 21:00:00+00' AND {} < TIMESTAMPTZ '2026-10-31 21:00:00+00'"
    for direction, query in shipping.items():
        column = "debited_at" if direction == "output_sales" else "paid_at"
        (row,) = untaxed.rows(query.format(within.format(column)))
        assert stated[direction] == row["minor"] != 0
    assert [row for row in check(untaxed.con, untaxed.shop, OCTOBER, "I13").failing if "net" in row.subject] == []


@pytest.mark.proves("I13")
@pytest.mark.parametrize("direction", ["output_sales", "output_refunds"])
def test_a_net_that_leaves_something_out_is_seen(untaxed: World, direction: str) -> None:
    result = _planted(
        untaxed,
        "I13",
        f"DELETE FROM lake.recon.vat_summary WHERE month = '2026-10' AND tax_code = '' AND direction = '{direction}'",
    )
    assert f"net of {direction}" in {row.subject for row in result.failing}


_RESERVE = "lake.recon.reserve_roll_forward"


@pytest.mark.proves("I3", "I4")
def test_the_reserve_rolls_from_opening_to_closing(untaxed: World) -> None:
    rows = untaxed.rows(f"SELECT month, component, amount_minor FROM {_RESERVE} ORDER BY month, row_no")
    assert [(row["component"], row["amount_minor"]) for row in rows if row["month"] == str(OCTOBER)] == [
        ("opening", 0),
        ("held", 4321),
        ("released", -3000),
        ("closing", 1321),
    ]
    assert [row["amount_minor"] for row in rows if row["month"] == str(NOVEMBER)] == [1321, 0, 0, 1321]
    for month in (OCTOBER, NOVEMBER):
        for invariant in ("I3", "I4"):
            result = check(untaxed.con, untaxed.shop, month, invariant)
            assert result.ok, result.message


@pytest.mark.parametrize(
    ("invariant", "month", "wrong", "subjects"),
    [
        pytest.param(
            "I3", OCTOBER, ("component IN ('held', 'closing')",), {"reserve held and released = reserve of the control account"},
            marks=pytest.mark.proves("I3"),
        ),
        pytest.param("I3", OCTOBER, ("component = 'opening'",), {"reserve opening + held + released = closing"}, marks=pytest.mark.proves("I3")),
        pytest.param("I3", NOVEMBER, ("component IN ('opening', 'closing')",), {"reserve opening = closing of 2026-10"}, marks=pytest.mark.proves("I3")),
        pytest.param("I4", OCTOBER, ("component IN ('held', 'closing')",), {"reserve closing"}, marks=pytest.mark.proves("I4")),
    ],
)  # fmt: skip
def test_a_wrong_reserve_is_seen(
    untaxed: World, invariant: str, month: object, wrong: tuple[str, ...], subjects: set[str]
) -> None:
    planted = [
        f"UPDATE {_RESERVE} SET amount_minor = amount_minor + 7 WHERE month = '{month}' AND {each}" for each in wrong
    ]
    result = _planted(untaxed, invariant, *planted, month=str(month))
    assert {row.subject for row in result.failing} == subjects
