"""VAT that is read late for a signed month is in the next open month's VAT, once, and in no other; the signed month stays as it was."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import pack
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import CheckResult, check
from marketplace_returns_tests.reconciliation.generate import SHOP, Shape
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_L = "lake.core.mirakl__order_lines"
_T = "lake.core.mirakl__transactions"
_R = "lake.core.mirakl__refunds"
_LINE_TAXES = "lake.core.mirakl__order_line_taxes"
_REFUND_TAXES = "lake.core.mirakl__refund_taxes"
_SHAPE = Shape(currency="KWD", tax_mode="MIXED", is_uneven=True, seed=2)
"""Half of the orders have their taxes inside, so that the log says nothing of them."""
NOVEMBER = OCTOBER.next()
DECEMBER = NOVEMBER.next()


@dataclass
class LateWorld:
    """October was closed and signed before some of it was read; then that came, and November was closed."""

    world: World
    october: SignedMonth
    proof: CheckResult
    folder: Path

    def close(self, month: Month, before: SignedMonth) -> SignedMonth:
        closed = self.world.close(month, run_id=str(month), before=before)
        return SignedMonth(closed.lake_version, before.prepared_at + timedelta(days=30))

    def export(self, name: str) -> dict[str, bytes]:
        """Return October's pack as it was signed."""
        period = Period(SHOP, OCTOBER, PeriodState.SIGNED, lake_snapshot=str(self.october.lake_version))
        pack.export(
            self.world.lake,
            self.world.con,
            [SHOP],
            OCTOBER,
            self.folder / name,
            accounts=self.world.mappings.ledger_accounts,
            periods={SHOP: period},
            results={},
        )
        files = sorted(path for path in (self.folder / name).rglob("*") if path.is_file())
        return {path.relative_to(self.folder / name).as_posix(): path.read_bytes() for path in files}

    def vat(self, month: Month, *directions: str) -> Counter[tuple[str, str]]:
        """Return a closed month's taxes in minor units by (sales or refunds, tax code)."""
        found: Counter[tuple[str, str]] = Counter()
        for row in self.world.rows(f"SELECT * FROM lake.recon.vat_summary WHERE month = '{month}'"):
            if row["direction"] in directions:
                found[row["direction"].removeprefix("prior_"), row["tax_code"]] += row["tax_minor"]
        return found

    def i13(self, month: Month) -> CheckResult:
        return check(self.world.con, self.world.shop, month, "I13")


_OUTPUT = ("output_sales", "output_refunds")
_PRIOR = ("prior_output_sales", "prior_output_refunds")


def _stated(world: World, start: datetime, end: datetime) -> Counter[tuple[str, str]]:
    """Return what OR11 says of the taxes of a span, by (sales or refunds, tax code): every document once, by its own date."""
    within = f">= TIMESTAMPTZ '{start.isoformat()}' AND {{0}} < TIMESTAMPTZ '{end.isoformat()}'"
    rows = world.rows(
        f"""SELECT 'output_sales' AS side, t.tax_code, CAST(sum(t.amount_minor) AS BIGINT) AS minor
        FROM {_L} AS l INNER JOIN {_LINE_TAXES} AS t USING (order_line_id)
        WHERE l.debited_at {within.format("l.debited_at")} GROUP BY ALL
        UNION ALL
        SELECT 'output_refunds', t.tax_code, -CAST(sum(t.amount_minor) AS BIGINT)
        FROM {_R} AS r INNER JOIN {_REFUND_TAXES} AS t USING (refund_id)
        WHERE r.paid_at {within.format("r.paid_at")} GROUP BY ALL"""
    )
    return Counter({(row["side"], row["tax_code"]): row["minor"] for row in rows})


def _choose(world: World) -> None:
    """Name documents of the middle of October: lines that did not come back, on top and inside, and refunds of both modes."""
    span = "BETWEEN TIMESTAMPTZ '2026-10-05 00:00:00+00' AND TIMESTAMPTZ '2026-10-25 00:00:00+00'"
    chosen = {
        f"SELECT order_line_id AS id FROM {_L} WHERE debited_at {span} AND product_tax_minor > 50 AND order_line_id NOT IN "
        "(SELECT order_line_id FROM lake.core.return_unit_assignments)": {
            "TAX_EXCLUDED": ("line", "document", "booking", "corrected"),
            "TAX_INCLUDED": ("inside",),
        },
        f"SELECT refund_id AS id FROM {_R} WHERE paid_at {span} AND tax_minor > 50": {
            "TAX_EXCLUDED": ("refund",),
            "TAX_INCLUDED": ("refund_inside",),
        },
    }
    for query, names_of in chosen.items():
        for mode, names in names_of.items():
            found = world.rows(
                f"{query} AND order_id IN (SELECT order_id FROM lake.core.mirakl__orders WHERE order_tax_mode = '{mode}') "
                f"ORDER BY id LIMIT {len(names)}"
            )
            world.lines |= dict(zip(names, (row["id"] for row in found), strict=True))


def _late_rows(at: dict[str, str]) -> dict[str, str]:
    """Return by table which rows were read late: whole lines and refunds, a line without its booking, a booking without its line."""
    lines, refunds = f"('{at['line']}', '{at['inside']}')", f"('{at['refund']}', '{at['refund_inside']}')"
    documents = f"('{at['line']}', '{at['inside']}', '{at['document']}')"
    return {
        _L: f"order_line_id IN {documents}",
        _LINE_TAXES: f"order_line_id IN {documents}",
        _R: f"refund_id IN {refunds}",
        _REFUND_TAXES: f"refund_id IN {refunds}",
        _T: f"refund_id IN {refunds} OR order_line_id IN {lines} OR order_line_id = '{at['booking']}'",
    }


def _make(folder: Path) -> LateWorld:
    """Play it: October signed without some of it, then that read."""
    world = make_world(folder, lines=220, shape=_SHAPE)
    _choose(world)
    late = _late_rows(world.lines)
    for table, rows in late.items():
        world.con.execute(f"CREATE TEMP TABLE late_{table.rpartition('.')[2]} AS FROM {table} WHERE {rows}")
    world.plant(*(f"DELETE FROM {table} WHERE {rows}" for table, rows in late.items()))
    closed = world.close()
    proof = check(world.con, world.shop, OCTOBER, "I13")
    made = LateWorld(world, SignedMonth(closed.lake_version, _SHAPE.seen_at + timedelta(hours=1)), proof, folder)
    # Half an hour before the close what came late had been read, and had not landed yet.
    read_before, read_at = (
        f"TIMESTAMPTZ '{(_SHAPE.seen_at + timedelta(hours=hours)).isoformat()}'" for hours in (0.5, 2)
    )
    corrected = world.lines["corrected"]
    world.plant(
        *(
            f"INSERT INTO {table} SELECT * REPLACE ({read_before} AS fetched_at) FROM late_{table.rpartition('.')[2]}"
            for table in late
        ),
        # A line whose tax was corrected, on both sides; the line itself says nothing new.
        f"UPDATE {_LINE_TAXES} SET amount_minor = amount_minor - 7, fetched_at = {read_at} WHERE order_line_id = '{corrected}' AND tax_code = 'VAT20'"
        " AND tax_kind = 'product'",
        f"UPDATE {_L} SET product_tax_minor = product_tax_minor - 7 WHERE order_line_id = '{corrected}'",
        f"UPDATE {_T} SET amount_minor = amount_minor - 7, fetched_at = {read_at} WHERE order_line_id = '{corrected}' AND transaction_type = 'ORDER_AMOUNT_TAX'",
    )
    return made


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LateWorld]:
    made = _make(tmp_path_factory.mktemp("late"))
    made.close(NOVEMBER, made.october)
    yield made
    made.world.con.close()


@pytest.mark.played
@pytest.mark.proves("R111", "I13", "I15")
def test_late_vat_is_in_the_next_months_vat_once(late: LateWorld) -> None:
    start, end = _SHAPE.bounds
    truth = _stated(late.world, start, end)
    signed = late.vat(OCTOBER, *_OUTPUT)
    prior = late.vat(NOVEMBER, *_PRIOR)

    assert prior == {key: minor - signed[key] for key, minor in truth.items() if minor != signed[key]}
    assert prior["output_sales", "VAT20"] > 0 > prior["output_refunds", "VAT20"]
    # The month's own VAT has nothing of it: both together are every document once.
    assert late.vat(NOVEMBER, *_OUTPUT) == _stated(late.world, end, end + timedelta(days=30))
    # What lies inside prices is posted with it.
    assert check(late.world.con, late.world.shop, NOVEMBER, "I15").ok


@pytest.mark.played
@pytest.mark.proves("I13")
def test_vat_is_what_the_log_booked_though_only_one_side_came_late(late: LateWorld) -> None:
    at = late.world.lines
    for proof in (late.proof, late.i13(NOVEMBER)):
        assert proof.ok, proof.message
        assert (proof.has_data, proof.difference_minor) == (True, {})
    timing = {
        row["reference"]: row["amount_minor"]
        for row in late.world.rows("SELECT * FROM lake.recon.timing_differences WHERE cause = 'LATE_VAT'")
    }
    taxes = {
        row["order_line_id"]: row["minor"]
        for row in late.world.rows(
            f"SELECT order_line_id, CAST(sum(amount_minor) AS BIGINT) AS minor FROM {_LINE_TAXES} GROUP BY order_line_id"
        )
    }
    # A line that came late is booked already, and a booking that came late has its line in the signed month.
    assert timing == {at["document"]: -taxes[at["document"]], at["booking"]: taxes[at["booking"]]}


@pytest.mark.played
@pytest.mark.proves("R99", "R111")
def test_the_signed_month_is_the_same_bytes_and_nothing_is_late_twice(tmp_path: Path) -> None:
    late = _make(tmp_path)
    before = late.export("before")
    november = late.close(NOVEMBER, late.october)
    rows = late.world.rows("SELECT * FROM lake.recon.vat_summary WHERE month = '2026-11' ORDER BY ALL")
    again = late.close(NOVEMBER, late.october)
    assert late.world.rows("SELECT * FROM lake.recon.vat_summary WHERE month = '2026-11' ORDER BY ALL") == rows
    assert again.lake_version > november.lake_version

    late.close(DECEMBER, again)

    assert late.vat(NOVEMBER, *_PRIOR) != Counter()
    assert late.vat(DECEMBER, *_PRIOR, *_OUTPUT) == Counter()
    assert late.export("after") == before
    assert len(before) > 20
    late.world.con.close()


@pytest.mark.proves("I13")
@pytest.mark.played
def test_late_vat_that_the_log_never_booked_is_a_line_with_a_code(tmp_path: Path) -> None:
    late = _make(tmp_path)
    line = late.world.lines["line"]
    late.world.plant(f"DELETE FROM {_T} WHERE order_line_id = '{line}' AND transaction_type LIKE '%_TAX'")

    late.close(NOVEMBER, late.october)

    (tax,) = late.world.rows(
        f"SELECT CAST(sum(amount_minor) AS BIGINT) AS minor FROM {_LINE_TAXES} WHERE order_line_id = '{line}'"
    )
    (row,) = late.world.rows(
        f"SELECT * FROM lake.recon.order_vs_ledger WHERE month = '{NOVEMBER}' AND order_line_id = '{line}'"
    )
    assert row["variance_code"] == "MISSING_EXTRACT"
    assert row["order_sales_tax_minor"] + row["order_shipping_tax_minor"] == tax["minor"]
    assert (row["ledger_sales_tax_minor"], row["ledger_shipping_tax_minor"]) == (0, 0)
    # What has a code of its own is taken off I13, as in the month it is of.
    assert late.i13(NOVEMBER).ok
    late.world.con.close()
