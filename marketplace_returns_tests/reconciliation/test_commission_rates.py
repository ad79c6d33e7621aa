"""Which rate of the contract a commission is held against: the one of the day, by the shop's clock, on which the line was ordered; and in which month."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_L, _T = "lake.core.mirakl__order_lines", "lake.core.mirakl__transactions"
_LINES = {
    "price in another currency": "2026-10",
    "commission in another currency": "2026-11",
    "ordered in another currency": "2026-11",
    "price wrong, commission later": "2026-11",
}
"""Lines that October leaves unmatched, and the month that has their commission beside what was ordered first."""


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


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An October of lines that paid 25 % where the contract says 15, each not matched for a reason of its own; a November that mends them."""

    def plant(world: World) -> None:
        found = world.rows(
            f"""SELECT order_line_id AS id FROM {_L} WHERE debited_at BETWEEN TIMESTAMPTZ '2026-10-10 00:00:00+00' AND TIMESTAMPTZ '2026-10-20 00:00:00+00'
            AND order_line_id NOT IN (SELECT order_line_id FROM lake.core.mirakl__refunds) ORDER BY 1 LIMIT {len(_LINES)}"""
        )
        world.lines = at = dict(zip(_LINES, (row["id"] for row in found), strict=True))
        lines = ", ".join(f"'{line}'" for line in at.values())
        world.plant(
            f"""UPDATE {_L} SET category_code = 'denim', price_minor = 10000, shipping_price_minor = 0, commission_fee_minor = 2500, commission_vat_minor = 0
            WHERE order_line_id IN ({lines})""",
            f"""DELETE FROM {_T} WHERE order_line_id IN ({lines}) AND transaction_type NOT IN ('ORDER_AMOUNT', 'COMMISSION_FEE')""",
            f"""UPDATE {_T} SET amount_minor = CASE transaction_type WHEN 'ORDER_AMOUNT' THEN 10000 ELSE -2500 END, billing_cycle_id = NULL
            WHERE order_line_id IN ({lines})""",
            f"UPDATE {_T} SET currency = 'EUR' WHERE order_line_id = '{at['price in another currency']}' AND transaction_type = 'ORDER_AMOUNT'",
            f"UPDATE {_T} SET currency = 'EUR' WHERE order_line_id = '{at['commission in another currency']}' AND transaction_type = 'COMMISSION_FEE'",
            f"UPDATE {_L} SET currency = 'EUR' WHERE order_line_id = '{at['ordered in another currency']}'",
            f"UPDATE {_T} SET amount_minor = 9000 WHERE order_line_id = '{at['price wrong, commission later']}' AND transaction_type = 'ORDER_AMOUNT'",
            f"""UPDATE {_T} SET created_at = TIMESTAMPTZ '2026-11-03 00:00:00+00'
            WHERE order_line_id = '{at["price wrong, commission later"]}' AND transaction_type = 'COMMISSION_FEE'""",
        )

    world = make_world(tmp_path_factory.mktemp("compared"), lines=120, plant=plant)
    world.close()
    at = "TIMESTAMPTZ '2026-11-10 09:00:00+00' AS created_at"
    world.plant(
        *(
            f"""INSERT INTO {_T} SELECT * REPLACE ('{mark}' || transaction_id AS transaction_id, '{currency}' AS currency, {sign} * amount_minor AS amount_minor, {at})
            FROM {_T} WHERE currency = 'EUR' AND created_at < TIMESTAMPTZ '2026-11-01 00:00:00+00'"""
            for mark, currency, sign in (("B", "EUR", -1), ("G", "GBP", 1))
        ),
        f"UPDATE {_L} SET currency = 'GBP' WHERE currency = 'EUR'",
    )
    world.close(OCTOBER.next())
    yield world
    world.con.close()


@pytest.mark.proves("I12", "I18")
@pytest.mark.parametrize(("name", "month"), list(_LINES.items()), ids=list(_LINES))
def test_a_commission_is_compared_once_in_the_month_that_has_it_beside_its_order(
    compared: World, name: str, month: str
) -> None:
    found = compared.rows(
        f"SELECT month, variance_code FROM lake.recon.commission_variance WHERE order_line_id = '{compared.lines[name]}' ORDER BY month"
    )
    assert found == [{"month": month, "variance_code": "COMMISSION_RATE"}]


@pytest.mark.proves("I12", "R111")
def test_the_credit_of_a_refund_that_comes_for_a_signed_month_is_compared_where_it_is_posted(tmp_path: Path) -> None:
    refunds = "lake.core.mirakl__refunds"

    def plant(world: World) -> None:
        (found,) = world.rows(
            f"SELECT min(refund_id) AS refund, min_by(order_line_id, refund_id) AS line FROM {refunds} WHERE paid_at BETWEEN "
            "TIMESTAMPTZ '2026-10-10 00:00:00+00' AND TIMESTAMPTZ '2026-10-20 00:00:00+00' AND commission_minor > 10"
        )
        world.lines = found
        of_refund = f"WHERE refund_id = '{found['refund']}'"
        for name, table in (("late", refunds), ("late_log", _T)):
            world.con.execute(f"CREATE TEMP TABLE {name} AS FROM {table} {of_refund}")
            world.plant(f"DELETE FROM {table} {of_refund}")

    world = make_world(tmp_path, lines=120, plant=plant)
    signed = SignedMonth(world.close().lake_version, datetime(2026, 11, 5, tzinfo=UTC))
    since = "TIMESTAMPTZ '2026-11-20 00:00:00+00' AS fetched_at"
    world.plant(
        f"INSERT INTO {refunds} SELECT * REPLACE (0 AS commission_minor, 0 AS commission_vat_minor, {since}) FROM late",
        f"INSERT INTO {_T} SELECT * REPLACE ({since}) FROM late_log WHERE transaction_type NOT LIKE '%COMMISSION%'",
    )
    world.close(OCTOBER.next(), before=signed)
    found = world.rows(
        f"SELECT month, variance_code AS code FROM lake.recon.commission_variance WHERE order_line_id = '{world.lines['line']}'"
    )
    assert found == [{"month": "2026-11", "code": "COMMISSION_CREDIT_MISSING"}]
    world.con.close()
