"""``trace`` of a number of the books, and of the payloads behind it: what people and programs are shown."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace_returns.cli.context import opened
from marketplace_returns.lake.pull import take
from marketplace_returns.reconciliation.close import ensure_tables
from marketplace_returns.reconciliation.tables import CONTROL_ROLL_FORWARD, JOURNAL_LINES, VAT_SUMMARY
from marketplace_returns_tests.cli.conftest import SHOP, Shell
from marketplace_returns_tests.lake.worlds import mirakl_order

CYCLE, FEE, SALE = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")
UNKNOWN = "d" * 8 + "-0000-4000-8000-000000000000"


def _line(number: str, kind: str, amount: float, cycle: str | None, **entities: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": kind,
        "payment_state": "PAID",
        "currency_iso_code": "GBP",
        "amount": amount,
        "seller_billing_cycle_id": cycle,
        "date_created": "2026-10-01T08:00:00Z",
        "last_updated": "2026-10-01T08:00:00Z",
        "entities": entities,
    }


@pytest.fixture
def read(alone: Shell) -> Shell:
    """An installation that has read an order, a payout cycle with two log lines, one of no order, and whose journals are there."""
    cycle = {
        "id": CYCLE,
        "date_created": "2026-10-01T09:00:00Z",
        "currency_iso_code": "GBP",
        "amount_transferred_to_seller": 20.0,
        "summary": {},
        "pay_out": {"state": "TO_PAY"},
    }
    lines = [
        _line(FEE, "SUBSCRIPTION_FEE", -5.0, CYCLE),
        _line(SALE, "ORDER_AMOUNT", 25.0, CYCLE, order={"id": "ORDER-1-A"}, order_line={"id": "ORDER-1-A-1"}),
    ]
    streams = {"mirakl/order": [mirakl_order(1)], "mirakl/billing_cycle": [cycle], "mirakl/transaction": lines}
    journal = f"{SHOP}-2026-10-{CYCLE}"
    rows = [
        ("marketplace_fees", "subscription", 500, 0),
        ("marketplace_control", "payout due", 2000, 0),
        ("sales", "sales", 0, 2500),
    ]

    def close(con: Any) -> None:
        for number, row in enumerate(rows, start=1):
            names = (
                "shop, currency, month, journal_id, line_no, account, description, debit_minor, credit_minor, reference"
            )
            values = [SHOP, "GBP", "2026-10", journal, number, *row, CYCLE]
            con.execute(f"INSERT INTO {JOURNAL_LINES.table.path} ({names}) VALUES ({', '.join('?' * 10)})", values)

    with opened() as app:
        for stream, objects in streams.items():
            take(app.lake, stream, SHOP, [objects], run_id="read", clock=app.clock, con=app.con)
        ensure_tables(app.lake, app.con)
        app.lake.transact(app.con, "test", "close", close)
    return alone


@pytest.mark.proves("R7")
def test_a_payout_cycle_is_shown_with_its_lines_and_the_payloads_that_say_so(read: Shell) -> None:
    page = read.run("trace", CYCLE)
    assert page.code == 0
    assert f"{CYCLE} is: payout cycle" in page.out
    for words in ("statement: 20.00 GBP", "transaction log: 20.00 GBP", "SUBSCRIPTION_FEE", "-5.00 GBP", FEE, SALE):
        assert words in page.out
    assert max(len(line) for line in page.out.splitlines()) <= 80
    document = read.run("trace", CYCLE, "--payloads", "--json").document
    (cycle,) = document["payout_cycles"]
    assert (cycle["statement_amount_minor"], cycle["log_amount_minor"]) == (2000, 2000)
    landed = {(each["object_type"], each["object_id"]): each for each in document["payloads"]}
    assert set(landed) == {("billing_cycle", CYCLE), ("transaction", FEE), ("transaction", SALE)}
    assert landed["billing_cycle", CYCLE]["content_hash"] == cycle["payload_hash"]
    assert landed["billing_cycle", CYCLE]["body"]["amount_transferred_to_seller"] == 20


@pytest.mark.proves("R7")
def test_a_log_line_is_shown_with_or_without_an_order(read: Shell) -> None:
    for reference in (FEE, f"log:{FEE}"):
        page = read.run("trace", reference)
        assert page.code == 0
        assert "is: transaction" in page.out
        assert "type: SUBSCRIPTION_FEE (component subscription" in page.out
        assert f"2026-10 journal_lines {SHOP}-2026-10-{CYCLE}" in page.out
        assert max(len(line) for line in page.out.splitlines()) <= 80
    document = read.run("trace", SALE, "--json").document
    assert [each["order_id"] for each in document["orders"]] == ["ORDER-1-A"]
    assert [each["line"]["transaction_id"] for each in document["log_lines"]] == [SALE]
    assert "payloads" not in document


@pytest.mark.proves("R7", "I15")
def test_a_journal_is_shown_line_by_line_with_what_each_adds_up(read: Shell) -> None:
    page = read.run("trace", f"{SHOP}-2026-10-{CYCLE}")
    assert page.code == 0
    assert "is: journal" in page.out
    for words in ("Line 2, payout due", "ORDER_AMOUNT", FEE, SALE):
        assert words in page.out
    assert "more than the log" not in page.out
    assert max(len(line) for line in page.out.splitlines()) <= 80
    (journal,) = read.run("trace", f"{SHOP}-2026-10-{CYCLE}", "--json").document["journals"]
    assert [line["difference_minor"] for line in journal["lines"]] == [0, 0, 0]


@pytest.mark.proves("R7", "I13")
def test_vat_is_shown_row_by_row_with_the_order_lines_that_each_adds_up(read: Shell) -> None:
    def close(con: Any) -> None:
        con.execute(
            f"""INSERT INTO {VAT_SUMMARY.table.path} (shop, currency, month, direction, tax_code, rate, net_minor, tax_minor, logged_tax_minor)
            SELECT '{SHOP}', 'GBP', '2026-10', 'output_sales', 'UK', 20, 4000, 800, 0
            UNION ALL SELECT '{SHOP}', 'GBP', '2026-10', 'input', 'subscription', NULL, 500, 100, NULL"""
        )
        con.execute("UPDATE lake.core.mirakl__order_lines SET debited_at = TIMESTAMPTZ '2026-10-05 12:00:00+00'")
        con.execute("DELETE FROM lake.core.mirakl__order_line_taxes")
        con.execute(
            """INSERT INTO lake.core.mirakl__order_line_taxes BY NAME SELECT shop, order_id, order_line_id, 'product' AS tax_kind, 'UK' AS tax_code,
            20 AS rate, 801 AS amount_minor, currency, 'NONE' AS calculation_rule, updated_at, payload_hash, fetched_at, run_id
            FROM lake.core.mirakl__order_lines"""
        )

    with opened() as app:
        app.lake.transact(app.con, "test", "close", close)
    page = read.run("trace", f"vat:{SHOP}-2026-10")
    assert page.code == 0
    assert "is: VAT of a month" in page.out
    for words in (
        f"vat:{SHOP}-2026-10-output_sales-UK-20",
        "ORDER-1-A-1",
        "8.01 GBP",
        "-0.01 GBP more tax than its order",
        "all 1",
    ):
        assert words in page.out
    for words in ("Its net, as on the log", FEE, "-5.00 GBP", "1.00 GBP more tax than its lines of the log"):
        assert words in page.out
    assert max(len(line) for line in page.out.splitlines()) <= 80
    (found,) = read.run("trace", f"vat:{SHOP}-2026-10-output_sales-UK-20", "--json").document["vat_returns"]
    ((row,), (line,)) = (found["vat"], found["vat"][0]["largest"])
    assert (row["tax_minor"], row["documents"], row["documents_tax_minor"]) == (800, 1, 801)
    assert (line["document_id"], line["tax_minor"]) == ("ORDER-1-A-1", 801)
    document = read.run("trace", f"vat:{SHOP}-2026-10-input", "--payloads", "--json").document
    ((row,), (payload,)) = (document["vat_returns"][0]["vat"], document["payloads"])
    assert [each["transaction_id"] for each in row["net_lines"]["largest"]] == [FEE] == [payload["object_id"]]
    assert row["tax_lines"]["sums"] == []
    assert read.run("trace", f"vat:{SHOP}-2026-11").code == 2


@pytest.mark.proves("R7", "I3")
def test_the_control_account_is_shown_row_by_row_with_the_log_lines_that_each_adds_up(read: Shell) -> None:
    def close(con: Any) -> None:
        con.execute(
            f"""INSERT INTO {CONTROL_ROLL_FORWARD.table.path} (shop, currency, month, row_no, component, amount_minor, lines)
            SELECT '{SHOP}', 'GBP', '2026-10', 0, 'opening', 0, 0
            UNION ALL SELECT '{SHOP}', 'GBP', '2026-10', 1, 'subscription', -400, 1
            UNION ALL SELECT '{SHOP}', 'GBP', '2026-10', 2, 'closing', 2000, 2"""
        )

    with opened() as app:
        app.lake.transact(app.con, "test", "close", close)
    page = read.run("trace", f"control:{SHOP}-2026-10")
    assert page.code == 0
    assert "is: control account of a month" in page.out
    for words in (f"control:{SHOP}-2026-10-subscription", FEE, SALE, "1.00 GBP more than the log"):
        assert words in page.out
    assert max(len(line) for line in page.out.splitlines()) <= 80
    document = read.run("trace", f"control:{SHOP}-2026-10-subscription", "--payloads", "--json").document
    ((account,), (payload,)) = (document["control_accounts"], document["payloads"])
    ((row,), line) = (account["rows"], account["rows"][0]["added_up"]["largest"][0])
    assert (row["amount_minor"], row["difference_minor"]) == (-400, 100)
    assert line["transaction_id"] == FEE == payload["object_id"]


@pytest.mark.proves("R7", "R44")
def test_the_payloads_of_an_order_are_as_landed_without_personal_fields(read: Shell) -> None:
    page = read.run("trace", "ORDER-1-A", "--payloads")
    assert '"order_id": "ORDER-1-A"' in page.out
    document = read.run("trace", "ORDER-1-A", "--payloads", "--json").document
    landed = {(each["object_type"], each["object_id"]) for each in document["payloads"]}
    assert landed == {("order", "ORDER-1-A"), ("transaction", SALE)}
    hashes = {each["payload_hash"] for order in document["orders"] for each in order["events"]} - {None}
    assert hashes <= {each["content_hash"] for each in document["payloads"]}
    with opened() as app:
        words = {value for row in app.lake.personal.held() for value in row.leaves.values() if isinstance(value, str)}
    assert {word for word in words if len(word) > 7}
    assert not {word for word in words if len(word) > 7 and word in page.out}


@pytest.mark.parametrize("reference", ["ORDER-99", UNKNOWN, f"{SHOP}-2026-11-open", "INV7", "0" * 24])
def test_what_nothing_has_gets_the_one_message(read: Shell, reference: str) -> None:
    ended = read.run("trace", reference)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f"'{reference}' is no order, line" in ended.err
    assert "'sync' reads what is new" in ended.err
