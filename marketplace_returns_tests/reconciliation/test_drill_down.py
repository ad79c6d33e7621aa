"""From a payout cycle, a document, a journal or a log line to what it is made of: sums, largest lines, and the payload that says so."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import drill_down
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.drill_down import (
    Books,
    ControlAccount,
    Cycle,
    Document,
    Journal,
    Thing,
    VatReturn,
)
from marketplace_returns.reconciliation.trace import log_lines
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

LOG, CYCLES, CYCLE = "lake.core.mirakl__transactions", "lake.core.mirakl__billing_cycles", "cycle-2026-10-11"
LATE_CYCLE = "cycle-2026-10-21"
NOVEMBER = OCTOBER.next()
CLOSED_AT = datetime(2026, 11, 2, tzinfo=UTC)
FETCHED = "TIMESTAMPTZ '2026-11-20 00:00:00+00' AS fetched_at"
LINE = """shop, transaction_id, transaction_type, payment_state, currency, amount_minor, billing_cycle_id, created_at, updated_at,
    payload_hash, fetched_at, run_id"""


def _fee(
    number: str, minor: int, created: str, fetched: str, cycle: str = "NULL", kind: str = "SUBSCRIPTION_FEE"
) -> str:
    return (
        f"INSERT INTO {LOG} ({LINE}) VALUES ('asos_uk', '{number}', '{kind}', 'PENDING', 'GBP', {minor}, {cycle}, "
        f"TIMESTAMPTZ '{created}+00', TIMESTAMPTZ '{created}+00', 'hash-{number}', TIMESTAMPTZ '{fetched}+00', 'test')"
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """October, signed without a cycle's statement; November, closed with it, with a fee of October that came late and one of its own."""

    def plant(world: World) -> None:
        world.con.execute(f"CREATE TEMP TABLE late AS SELECT * FROM {CYCLES} WHERE billing_cycle_id = '{LATE_CYCLE}'")
        world.plant(
            f"DELETE FROM {CYCLES} WHERE billing_cycle_id = '{LATE_CYCLE}'",
            _fee("FEE-1", -3000, "2026-10-05 08:00:00", "2026-10-05 09:00:00"),
            _fee("CREDIT-1", 700, "2026-10-06 08:00:00", "2026-10-06 09:00:00", kind="MANUAL_CREDIT"),
        )

    made = make_world(tmp_path_factory.mktemp("drill"), lines=120, plant=plant)
    signed = SignedMonth(made.close().lake_version, CLOSED_AT)
    made.plant(
        f"INSERT INTO {CYCLES} SELECT * REPLACE ({FETCHED}) FROM late",
        _fee("FEE-2", -111, "2026-10-30 08:00:00", "2026-11-20 00:00:00"),
        _fee("FEE-3", -3000, "2026-11-05 08:00:00", "2026-11-20 00:00:00"),
    )
    made.close(NOVEMBER, before=signed)
    made.lines["signed"] = str(signed.lake_version)
    return made


@pytest.mark.proves("R7", "I15")
def test_a_line_that_is_not_what_the_log_says_now_tells_by_how_much(world: World) -> None:
    """October as it would be read today: the cycle whose statement came late takes lines out of its open journal."""
    (journal,) = _found(world, "asos_uk-2026-10-open")
    assert isinstance(journal, Journal)
    assert any(line.difference_minor for line in journal.lines)
    assert sum(line.difference_minor or 0 for line in journal.lines) == 0


def _found(world: World, reference: str, signed: int | None = None) -> list[Thing]:
    """``signed`` is where the month is kept that is asked; October was closed on the second of November."""

    return drill_down.find(_books(world, signed), reference)


def _books(world: World, signed: int | None = None) -> Books:
    def period(shop: str, month: Month) -> Period:
        if month == OCTOBER and (at := signed or world.lines.get("signed")):
            state = PeriodState.REVIEW if signed is None else PeriodState.SIGNED
            return Period(shop, month, state, prepared_at=CLOSED_AT, lake_snapshot=str(at))
        return Period(shop, month)

    return Books(world.con, world.lake, world.settings.shops, period)


@pytest.mark.proves("R7", "I1")
def test_a_payout_cycle_is_its_statement_and_the_log_lines_that_it_adds_up(world: World) -> None:
    (cycle,) = _found(world, CYCLE)
    assert isinstance(cycle, Cycle)
    (stated,) = world.rows(f"SELECT * FROM {CYCLES} WHERE billing_cycle_id = '{CYCLE}'")
    assert (cycle.shop, cycle.billing_cycle_id, cycle.pay_out_state) == ("asos_uk", CYCLE, "PAID")
    assert (
        cycle.statement_amount_minor
        == cycle.log_amount_minor
        == cycle.payment_amount_minor
        == stated["amount_to_seller_minor"]
    )
    assert (cycle.invoice_amount_minor, [each.document_id for each in cycle.documents]) == (
        stated["amount_to_seller_minor"],
        [f"invoice-{CYCLE}"],
    )
    assert (cycle.payload_hash, cycle.created_at) == (stated["payload_hash"], stated["created_at"])
    expected = world.rows(
        f"SELECT transaction_type, count(*) AS lines, CAST(sum(amount_minor) AS BIGINT) AS minor FROM {LOG} "
        f"WHERE billing_cycle_id = '{CYCLE}' GROUP BY ALL ORDER BY ALL"
    )
    sums = sorted((each.transaction_type, each.lines, each.amount_minor) for each in cycle.added_up.sums)
    assert sums == [(row["transaction_type"], row["lines"], row["minor"]) for row in expected]
    assert {each.component for each in cycle.added_up.sums} >= {"sales", "commission", "payout"}
    sizes = [abs(each.amount_minor) for each in cycle.added_up.largest]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == drill_down.LARGEST_MAX
    assert cycle.added_up.largest[0].transaction_type == "PAYMENT"
    assert all(each.payload_hash for each in cycle.added_up.largest)


@pytest.mark.proves("R7")
def test_a_cycle_that_no_statement_knows_is_told_as_such(world: World) -> None:
    world.plant(_fee("FEE-9", -5, "2026-10-07 08:00:00", "2026-10-07 09:00:00", cycle="'CYCLE-9'"))
    world.con.execute("BEGIN")
    world.con.execute(
        "INSERT INTO lake.recon.payout_proof (shop, currency, month, billing_cycle_id, date_created, pay_out_state, ledger_amount_minor, "
        "difference_minor, status) VALUES ('asos_uk', 'GBP', '2026-12', 'CYCLE-9', TIMESTAMPTZ '2026-10-07 08:00:00+00', 'NOT_ON_STATEMENT', "
        "-5, -5, 'VARIANCE')"
    )
    (found,) = _found(world, "CYCLE-9")
    world.con.execute("ROLLBACK")
    world.plant(f"DELETE FROM {LOG} WHERE transaction_id = 'FEE-9'")
    assert isinstance(found, Cycle)
    assert (found.pay_out_state, found.statement_amount_minor, found.log_amount_minor) == ("NOT_ON_STATEMENT", None, -5)


@pytest.mark.proves("R7")
def test_a_document_is_found_by_its_id_and_by_its_number(world: World) -> None:
    (document,) = _found(world, f"invoice-{CYCLE}")
    assert isinstance(document, Document)
    assert (document.invoice_type, document.billing_cycle_id) == ("AUTO_INVOICE", CYCLE)
    assert document.payload_hash
    named = f"UPDATE lake.core.mirakl__invoices SET invoice_id = 4711 WHERE document_id = 'invoice-{CYCLE}'"
    booked = f"UPDATE {LOG} SET accounting_document_id = 'invoice-{CYCLE}', accounting_document_number = 'INV4711' WHERE billing_cycle_id = '{CYCLE}' AND transaction_type <> 'PAYMENT'"
    world.plant(named, booked)
    for number in ("4711", "INV4711", f"invoice-{CYCLE}"):
        (document,) = _found(world, number)
        assert isinstance(document, Document)
        assert document.document_id == f"invoice-{CYCLE}"
        assert document.added_up.amount_minor("GBP") == document.amount_transferred_minor
    assert _found(world, "CN4711") == []


@pytest.mark.proves("R7", "I15")
@pytest.mark.parametrize("month", [OCTOBER, NOVEMBER], ids=str)
def test_every_line_of_every_journal_is_what_the_log_adds_up_to(world: World, month: Month) -> None:
    ids = world.rows(f"SELECT DISTINCT journal_id FROM lake.recon.journal_lines WHERE month = '{month}' ORDER BY ALL")
    assert len(ids) >= 2
    for row in ids:
        (journal,) = _found(world, row["journal_id"], int(world.lines["signed"]) if month == OCTOBER else None)
        assert isinstance(journal, Journal)
        posted = world.rows(
            f"SELECT * FROM lake.recon.journal_lines WHERE journal_id = '{row['journal_id']}' ORDER BY line_no"
        )
        assert [(each.line_no, each.account, each.debit_minor, each.credit_minor) for each in journal.lines] == [
            (each["line_no"], each["account"], each["debit_minor"], each["credit_minor"]) for each in posted
        ]
        if journal.reference == "included_vat":
            assert sum(each.tax_minor - each.logged_tax_minor for each in journal.vat) != 0
            assert all(each.documents and not each.difference_minor for each in journal.vat)
            taken_out = sum(each.documents_amount_minor for each in journal.vat)
            assert abs(taken_out) == abs(
                sum(each.debit_minor - each.credit_minor for each in journal.lines if each.account == "output_vat")
            )
            continue
        for line in journal.lines:
            assert line.difference_minor == 0, line
            assert line.added_up.sums
            assert line.added_up.largest
            assert line.added_up.lines >= len(line.added_up.largest)


@pytest.mark.proves("R7", "R111")
def test_what_came_late_is_in_the_journal_that_posts_it(world: World) -> None:
    (journal,) = _found(world, "asos_uk-2026-11-open")
    assert isinstance(journal, Journal)
    (fees,) = [line for line in journal.lines if line.description == "subscription"]
    assert {each.transaction_id: each.amount_minor for each in fees.added_up.largest} == {"FEE-2": -111, "FEE-3": -3000}
    assert (fees.debit_minor, fees.added_up.lines) == (3111, 2)
    (late,) = log_lines(world.con, "log:FEE-2")
    named = drill_down.named_by(_books(world), late)
    assert ("prior_period_adjustments", "2026-11", "FEE-2") in {
        (each.table, each.month, each.reference) for each in named
    }


@pytest.mark.proves("R7")
def test_a_log_line_that_names_no_order_tells_all_it_says_and_what_names_it(world: World) -> None:
    (line,) = log_lines(world.con, "log:FEE-1")
    assert (line.transaction_type, line.component, line.amount_minor, line.currency, line.order_id) == (
        "SUBSCRIPTION_FEE",
        "subscription",
        -3000,
        "GBP",
        None,
    )
    assert line.payload_hash == "hash-FEE-1"
    named = {(each.table, each.month, each.reference) for each in drill_down.named_by(_books(world), line)}
    assert ("journal_lines", "2026-10", "asos_uk-2026-10-open") in named
    (credit,) = log_lines(world.con, "log:CREDIT-1")
    named = {(each.table, each.month, each.reference) for each in drill_down.named_by(_books(world), credit)}
    assert ("manual_portal_actions", "2026-10", "CREDIT-1") in named


@pytest.mark.proves("R7")
def test_the_log_is_asked_only_by_what_looks_like_one_of_its_lines(world: World) -> None:
    assert log_lines(world.con, "FEE-1") == []
    number = "0b8f8a2c-4c1e-4a7e-9d4b-2f5f5d8f2a11"
    world.plant(_fee(number, -9, "2026-10-07 08:00:00", "2026-10-07 09:00:00"))
    for reference in (number, f"log:{number}"):
        assert [each.transaction_id for each in log_lines(world.con, reference)] == [number]
    world.plant(f"DELETE FROM {LOG} WHERE transaction_id = '{number}'")


def _taxes(world: World) -> dict[str, int]:
    """The tax of each order line and refund of October, added up from OR11 by hand."""
    span = "BETWEEN TIMESTAMPTZ '2026-10-01 00:00:00+01' AND TIMESTAMPTZ '2026-10-31 23:59:59.999999+00'"
    return {
        row["id"]: row["tax"]
        for row in world.rows(
            f"""SELECT t.order_line_id AS id, CAST(sum(t.amount_minor) AS BIGINT) AS tax FROM lake.core.mirakl__order_line_taxes AS t
            JOIN lake.core.mirakl__order_lines AS l USING (order_line_id) WHERE l.debited_at {span} GROUP BY ALL
            UNION ALL SELECT t.refund_id, -CAST(sum(t.amount_minor) AS BIGINT) FROM lake.core.mirakl__refund_taxes AS t
            JOIN lake.core.mirakl__refunds AS r USING (refund_id) WHERE r.paid_at {span} GROUP BY ALL"""
        )
    }


@pytest.mark.proves("R7", "I13")
@pytest.mark.parametrize("month", [OCTOBER, NOVEMBER], ids=str)
def test_every_row_of_the_vat_is_what_its_order_lines_and_refunds_add_up_to(world: World, month: Month) -> None:
    (found,) = _found(world, f"vat:asos_uk-{month}", int(world.lines["signed"]) if month == OCTOBER else None)
    assert isinstance(found, VatReturn)
    stated = world.rows(
        f"SELECT * FROM lake.recon.vat_summary WHERE month = '{month}' ORDER BY direction, tax_code, rate"
    )
    assert [(each.direction, each.tax_code, each.net_minor, each.tax_minor) for each in found.vat] == [
        (row["direction"], row["tax_code"], row["net_minor"], row["tax_minor"]) for row in stated
    ]
    assert {"output_sales", "output_refunds", "input"} <= {each.direction for each in found.vat} or month != OCTOBER
    for row in found.vat:
        if not row.is_of_documents:
            assert not row.documents
            assert (row.difference_minor, row.net_difference_minor) == (0, 0)
            assert row.net_lines.largest or row.tax_lines.largest
            continue
        assert (row.documents_net_minor, row.documents_tax_minor, row.difference_minor) == (
            row.net_minor,
            row.tax_minor,
            0,
        )
        sizes = [abs(each.tax_minor) for each in row.largest]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == min(row.documents, drill_down.LARGEST_MAX)
        if month == OCTOBER:
            taxes = _taxes(world)
            assert all(each.tax_minor == taxes[each.document_id] for each in row.largest)
    (one,) = _found(world, found.vat[-1].reference, found.lake_version)
    assert isinstance(one, VatReturn)
    assert one.vat == found.vat[-1:]
    (sales,) = _found(world, f"vat:asos_uk-{month}-{found.vat[-1].direction}", found.lake_version)
    assert isinstance(sales, VatReturn)
    assert {each.direction for each in sales.vat} == {found.vat[-1].direction}


@pytest.mark.proves("R7", "R111")
def test_the_vat_of_a_signed_month_is_opened_as_it_was_signed(world: World) -> None:
    """An order line that changed since is in the signed month as it was, and late in the next."""
    (line,) = world.rows(
        "SELECT t.order_line_id AS id FROM lake.core.mirakl__order_line_taxes AS t JOIN lake.core.mirakl__order_lines AS l USING (order_line_id) "
        "WHERE l.debited_at BETWEEN TIMESTAMPTZ '2026-10-10' AND TIMESTAMPTZ '2026-10-20' AND t.tax_kind = 'product' ORDER BY 1 LIMIT 1"
    )
    changed = f"fetched_at = TIMESTAMPTZ '2026-11-20 00:00:00+00' WHERE order_line_id = '{line['id']}' AND tax_kind = 'product'"
    world.plant(f"UPDATE lake.core.mirakl__order_line_taxes SET amount_minor = amount_minor + 7, {changed}")
    signed = SignedMonth(int(world.lines["signed"]), CLOSED_AT)
    world.close(NOVEMBER, before=signed)

    (then,) = _found(world, "vat:asos_uk-2026-10-output_sales", signed.lake_version)
    (now,) = _found(world, "vat:asos_uk-2026-10-output_sales")
    (late,) = _found(world, "vat:asos_uk-2026-11-prior_output_sales")
    assert isinstance(then, VatReturn)
    assert isinstance(now, VatReturn)
    assert isinstance(late, VatReturn)
    assert [each.difference_minor for each in then.vat] == [0]
    assert [each.difference_minor for each in now.vat] == [-7], "as it would be read today"
    ((row,), (document,)) = (late.vat, late.vat[0].largest)
    assert (document.document_id, document.tax_minor, row.documents, row.difference_minor) == (line["id"], 7, 1, 0)


@pytest.mark.proves("R7", "I3")
def test_a_row_of_the_control_account_is_opened_by_its_name(world: World) -> None:
    (found,) = _found(world, "control:asos_uk-2026-11-subscription")
    assert isinstance(found, ControlAccount)
    (row,) = found.rows
    assert (row.amount_minor, row.difference_minor) == (-3111, 0)
    assert {each.transaction_id: each.amount_minor for each in row.added_up.largest} == {"FEE-2": -111, "FEE-3": -3000}


def test_what_is_not_there_is_nothing(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    for reference in (
        "X1",
        "asos_uk-2026-10-cycle-9",
        "asos_uk-2026-99-open",
        "vat:asos_uk-2026-09",
        "vat:asos_uk-2026-10-output_sale",
        "vat:asos_de-2026-10",
        "control:asos_uk-2026-09",
        "control:asos_uk-2026-10-closin",
        "control:asos_de-2026-10",
        "asos_de-2026-10-open",
        "INV1",
        "no\0number",
        "",
    ):
        assert _found(world, reference) == []
    never_closed = make_world(tmp_path_factory.mktemp("never"), lines=0)
    for reference in ("asos_uk-2026-10-open", "vat:asos_uk-2026-10", "control:asos_uk-2026-10", CYCLE):
        assert _found(never_closed, reference) == []
