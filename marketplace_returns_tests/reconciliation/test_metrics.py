"""The reviewer metrics: what counts as matched, what is left unmatched, how long a close took, what is posted after it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path

import openpyxl
import pytest

from marketplace_returns.lake.connection import snapshot_of
from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import pack
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import check_month
from marketplace_returns.reconciliation.metrics import (
    Metrics,
    Sum,
    adjusted_since,
    days_after,
    figures,
    month_metrics,
)
from marketplace_returns_tests.reconciliation.generate import SHOP
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

NOVEMBER = OCTOBER.next()
LOG, CYCLES, LINES = (
    "lake.core.mirakl__transactions",
    "lake.core.mirakl__billing_cycles",
    "lake.core.mirakl__order_lines",
)
CLOSED_AT, SIGNED_AT = datetime(2026, 11, 2, 15, tzinfo=UTC), datetime(2026, 11, 4, 0, tzinfo=UTC)
SIGNED = Period(SHOP, OCTOBER, PeriodState.SIGNED, "Ana", CLOSED_AT, "Ben", SIGNED_AT)
_TABLES = (("payout_proof", "status"), ("order_vs_ledger", "variance_code"), ("refund_three_way", "verdict"))


def _plant(world: World) -> None:
    """A commission of 40 too much, a refund of ours of a penny more, and a payout that is not paid yet."""
    (line,) = world.rows(
        f"SELECT min(order_line_id) AS id FROM {LOG} WHERE transaction_type = 'COMMISSION_FEE' "
        "AND created_at BETWEEN TIMESTAMPTZ '2026-10-03' AND TIMESTAMPTZ '2026-10-09'"
    )
    world.plant(
        f"UPDATE {LOG} SET amount_minor = amount_minor - 40 WHERE order_line_id = '{line['id']}' AND transaction_type = 'COMMISSION_FEE'",
        "UPDATE gen_intents SET amount_minor = amount_minor + 1 WHERE intent_id = "
        "(SELECT min(intent_id) FROM gen_intents WHERE confirmed_at BETWEEN TIMESTAMPTZ '2026-10-10' AND TIMESTAMPTZ '2026-10-15')",
        f"DELETE FROM {LOG} WHERE transaction_type = 'PAYMENT' AND billing_cycle_id = 'cycle-2026-10-21'",
        f"UPDATE {CYCLES} SET pay_out_state = 'TO_PAY' WHERE billing_cycle_id = 'cycle-2026-10-21'",
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """October, signed; November, which posts two log lines that came late for it."""
    made = make_world(tmp_path_factory.mktemp("metrics"), lines=120, plant=_plant)
    signed = SignedMonth(made.close().lake_version, CLOSED_AT)
    made.lines["signed"] = str(signed.lake_version)
    made.plant(
        *(
            f"""INSERT INTO {LOG} (shop, transaction_id, transaction_type, payment_state, currency, amount_minor, created_at, updated_at,
            payload_hash, fetched_at, run_id) VALUES ('asos_uk', '{name}', 'MANUAL_CREDIT', 'PENDING', 'GBP', {minor},
            TIMESTAMPTZ '2026-10-20 09:00:00+00', TIMESTAMPTZ '2026-11-20 00:00:00+00', 'h', TIMESTAMPTZ '2026-11-20 00:00:00+00', 'r')"""
            for name, minor in (("LATE-1", 1500), ("LATE-2", -300))
        )
    )
    made.close(NOVEMBER, before=signed)
    yield made
    made.con.close()


def _metrics(world: World, month: Month = OCTOBER, period: Period | None = None) -> Metrics:
    pack.show_month(world.con, [SHOP], month, {SHOP: period} if period else {})
    return month_metrics(world.con, SHOP, month)


def _signed(world: World) -> Period:
    return replace(SIGNED, lake_snapshot=world.lines["signed"])


def test_matched_is_all_that_is_not_in_aged_unmatched(world: World) -> None:
    for month in (OCTOBER, NOVEMBER):
        found = _metrics(world, month)
        rows = sum(world.rows(f"SELECT count(*) AS n FROM shown_{table}")[0]["n"] for table, _ in _TABLES)
        (aged,) = world.rows(
            "SELECT count(*) AS n, count(*) FILTER (is_in_time(kind)) AS in_time FROM shown_aged_unmatched"
        )
        assert found.items == rows
        assert (found.items - found.matched, found.in_time) == (aged["n"], aged["in_time"])
    kinds = {row["kind"] for row in world.rows("SELECT kind FROM lake.recon.aged_unmatched WHERE month = '2026-10'")}
    assert {"ROUNDING", "PAYOUT_OPEN", "PAYOUT", "COMMISSION_RATE"} <= kinds, "of each sort there is one"


def test_what_is_only_named_is_unmatched_and_what_is_only_not_over_yet_is_neither(world: World) -> None:
    found = _metrics(world)
    aged = world.rows("SELECT kind, amount_minor FROM shown_aged_unmatched")
    left = [row for row in aged if not row["kind"].startswith("TIMING") and row["kind"] != "PAYOUT_OPEN"]
    assert len(left) < len(aged), "some are only not over yet"
    assert "ROUNDING" in {row["kind"] for row in left}
    assert found.unmatched == len(left)
    # The 40 of the commission, which its payout cycle lacks too, and the penny of the refund.
    assert sorted(abs(row["amount_minor"]) for row in left) == [1, 40, 40]
    assert found.value_unmatched == (Sum("GBP", len(left), 41),)


def test_nothing_is_rounded_up_to_all(world: World) -> None:
    almost = replace(_metrics(world), matched=99_999, in_time=0, unmatched=1)
    assert almost.auto_match_percent == Decimal("99.9")
    assert replace(almost, unmatched=0, in_time=1).auto_match_percent == Decimal("99.9")
    assert replace(almost, unmatched=0).auto_match_percent == Decimal(100)
    none = replace(almost, matched=0, unmatched=0)
    assert none.auto_match_percent is None
    assert figures(none)[0].figure == "no data"


@pytest.mark.parametrize(
    ("zone", "instant", "days"),
    [
        ("Europe/London", datetime(2026, 11, 1, 0, 0, tzinfo=UTC), "0"),
        ("Europe/London", datetime(2026, 11, 1, 0, 1, tzinfo=UTC), "0.1"),
        ("Europe/London", datetime(2026, 11, 2, 15, tzinfo=UTC), "1.7"),
        ("America/New_York", datetime(2026, 11, 2, 4, tzinfo=UTC), "1"),
        ("Asia/Tokyo", datetime(2026, 11, 1, 15, tzinfo=UTC), "1"),
    ],
)
def test_days_count_from_the_months_end_where_the_shop_is(zone: str, instant: datetime, days: str) -> None:
    assert days_after(OCTOBER, zone, instant) == Decimal(days)


def test_days_are_those_of_the_last_close_and_of_the_signature(world: World) -> None:
    signed = _metrics(world, period=_signed(world))
    assert (signed.days_to_close, signed.days_to_sign) == (Decimal("1.7"), Decimal(3))
    open_month = _metrics(world)
    assert (open_month.days_to_close, open_month.days_to_sign) == (None, None)
    assert {each.name: each.figure for each in figures(open_month)}["days to close"] == "not yet"


@pytest.mark.proves("R111")
def test_what_is_posted_for_a_signed_month_is_told_by_the_month_that_posts_it(world: World) -> None:
    assert _metrics(world, NOVEMBER).adjusted == (Sum("GBP", 2, 1200, "2026-10"),)
    before = _metrics(world, period=_signed(world))
    assert before.adjusted == (Sum("GBP", 0, 0),)
    assert adjusted_since(world.con, SHOP, NOVEMBER.next()) == [Sum("GBP", 2, 1200, "2026-10")]
    assert adjusted_since(world.con, SHOP, OCTOBER) == []
    told = {each.name: each for each in figures(_metrics(world, NOVEMBER))}["post-close adjustments"]
    assert told.figure == "12.00 GBP"
    assert "2 log lines" in told.says
    assert "2026-10 (2)" in told.says


@pytest.mark.proves("R99")
def test_cover_and_page_of_a_signed_month_show_them_and_stay_the_same(world: World, tmp_path: Path) -> None:
    signed = _signed(world)
    for name in ("then", "now"):
        pack.export(
            world.lake,
            world.con,
            [SHOP],
            OCTOBER,
            tmp_path / name,
            accounts=world.mappings.ledger_accounts,
            periods={SHOP: signed},
            results={SHOP: check_month(world.con, world.shop, OCTOBER)},
        )
        if name == "then":
            world.close(NOVEMBER, before=SignedMonth(int(signed.lake_snapshot), CLOSED_AT))
            assert snapshot_of(world.con) > int(signed.lake_snapshot)
    wanted = figures(_metrics(world, period=signed))
    assert [each.name for each in wanted] == [
        "auto-match",
        "value unmatched",
        "days to close",
        "days to sign",
        "post-close adjustments",
    ]
    sheet = openpyxl.load_workbook(tmp_path / "now" / "month_end.xlsx")["cover"]
    cover = [tuple(str(cell.value or "") for cell in row) for row in sheet.iter_rows(max_col=4)]
    page = unescape((tmp_path / "now" / "close.html").read_text(encoding="utf-8"))
    for each in wanted:
        assert (SHOP, each.name, each.figure, each.says) in cover
        assert f"<b>{each.figure}</b><span>{each.name}: {each.says}</span>" in page
    for file in ("month_end.xlsx", "close.html"):
        assert (tmp_path / "then" / file).read_bytes() == (tmp_path / "now" / file).read_bytes()


@pytest.mark.parametrize(
    ("wrong", "rows"),
    [
        (["sale lost"], 2),
        (["fee lost"], 1),
        (["sale lost", "fee lost"], 2),
        (["refund lost"], 2),
        # The cycle differs by little, for its sales lack and its refunds lack.
        (["sale lost", "refund lost"], 3),
        (["commission as the statement has it"], 1),
        (["commission as the statement has it", "fee lost"], 2),
        (["commission as the statement has it", "sale lost"], 3),
        (["paid too little"], 1),
        (["paid too little", "commission as the statement has it"], 2),
    ],
    ids=str,
)
def test_each_penny_is_counted_once(several: World, wrong: list[str], rows: int) -> None:
    """What a line or refund shows is in the total of its payout cycle too; what the statement has as the log, or of no line, is not."""
    worth = {name: several.lines[f"worth of {name}"] for name in wrong}
    several.plant(*(several.lines[name] for name in wrong))
    several.close()
    found = _metrics(several).value_unmatched
    several.plant(
        *(f"DELETE FROM {table}" for table in (LOG, LINES)),
        f"INSERT INTO {LOG} FROM log",
        f"INSERT INTO {LINES} FROM lines",
    )
    assert found == (Sum("GBP", rows, sum(int(minor) for minor in worth.values())),)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A month whose line, refund, fee and payment of one payout cycle can go wrong, each by what it is worth."""
    made = make_world(tmp_path_factory.mktemp("several"), lines=120)
    of_cycle = f"FROM {LOG} WHERE billing_cycle_id = 'cycle-2026-10-11'"
    (sale,) = made.rows(
        f"""SELECT order_line_id AS id, -CAST(sum(amount_minor) AS BIGINT) AS minor {of_cycle} AND refund_id IS NULL AND created_at > TIMESTAMPTZ '2026-10-03' AND order_line_id IS NOT NULL
        AND order_line_id NOT IN (SELECT order_line_id FROM lake.core.mirakl__refunds) GROUP BY 1 HAVING count(*) = 4 ORDER BY 1 LIMIT 1"""
    )
    (paid,) = made.rows(
        f"""SELECT refund_id AS id, -min(amount_minor) AS minor {of_cycle} AND refund_id IS NOT NULL AND created_at > TIMESTAMPTZ '2026-10-03'
        GROUP BY 1 ORDER BY 1 LIMIT 1"""
    )
    (other,) = made.rows(
        f"SELECT max(order_line_id) AS id {of_cycle} AND refund_id IS NULL AND created_at > TIMESTAMPTZ '2026-10-03'"
    )
    made.lines = {
        "sale lost": f"DELETE FROM {LOG} WHERE order_line_id = '{sale['id']}'",
        "worth of sale lost": str(-sale["minor"]),
        "refund lost": f"DELETE FROM {LOG} WHERE refund_id = '{paid['id']}'",
        "worth of refund lost": str(paid["minor"]),
        "fee lost": f"DELETE FROM {LOG} WHERE transaction_type = 'SELLER_PENALTY_FEE'",
        "worth of fee lost": "1000",
        "commission as the statement has it": f"UPDATE {LINES} SET commission_fee_minor = commission_fee_minor - 70 WHERE order_line_id = '{other['id']}'",
        "worth of commission as the statement has it": "70",
        "paid too little": f"""UPDATE {LOG} SET amount_minor = amount_minor + 500
            WHERE transaction_type = 'PAYMENT' AND billing_cycle_id = 'cycle-2026-10-11'""",
        "worth of paid too little": "500",
    }
    for name, table in (("log", LOG), ("lines", LINES)):
        made.con.execute(f"CREATE TEMP TABLE {name} AS FROM {table}")
    yield made
    made.con.close()
