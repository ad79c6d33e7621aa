"""Journals for accounting systems: accepted by each system's published rules, byte for byte as agreed, adding up to the payouts."""

import csv
import dataclasses
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest

from marketplace_returns.errors import BadMapping, ContractBroken
from marketplace_returns.mappings import JournalTarget, load_mappings
from marketplace_returns.reconciliation import journals
from marketplace_returns.reconciliation.journals import FORMATS, write_journals
from marketplace_returns.reconciliation.pack import show_month
from marketplace_returns.settings import JournalDateFormats
from marketplace_returns_tests.reconciliation.generate import Shape
from marketplace_returns_tests.reconciliation.journal_rules import DAY_FIRST, RULES, SAGE_TAX_CODES, XERO_TAX_RATES
from marketplace_returns_tests.reconciliation.worlds import MAPPINGS, OCTOBER, World, make_world

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("journals"), lines=120)
    made.close()
    show_month(made.con, ["asos_uk"], OCTOBER, {})
    yield made
    made.con.close()


def _write(world: World, folder: Path) -> list[Path]:
    written = write_journals(world.con, OCTOBER, world.mappings.ledger_accounts, folder)
    return [path for path, _ in written]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("target", list(JournalTarget))
@pytest.mark.proves("I15")
def test_each_system_accepts_its_file_and_it_is_the_agreed_one(world: World, tmp_path: Path, target: str) -> None:
    _write(world, tmp_path)
    path = tmp_path / "journals" / f"{target}_GBP_01.csv"

    assert RULES[target](_rows(path)) == []
    assert len(_rows(path)) > 10
    assert path.read_bytes() == (GOLDEN / path.name).read_bytes()


def _date_formats() -> list[tuple[str, str]]:
    fields = JournalDateFormats.model_fields.items()
    return [(target, word) for target, field in fields for word in get_args(field.annotation)]


@pytest.mark.parametrize(("target", "word"), _date_formats())
def test_a_system_of_another_country_has_its_dates(world: World, tmp_path: Path, target: str, word: str) -> None:
    """And nothing but them is another than in the agreed file."""
    write_journals(world.con, OCTOBER, world.mappings.ledger_accounts, tmp_path, {target: word})
    for system in JournalTarget:
        path = tmp_path / "journals" / f"{system}_GBP_01.csv"
        agreed, rows = _rows(GOLDEN / path.name), _rows(path)
        if system != target:
            assert rows == agreed
            continue
        assert RULES[target](rows, word) == []
        assert RULES[target](agreed, word) == [] if word == DAY_FIRST else RULES[target](agreed, word) != []
        undated = [{name: cell for name, cell in row.items() if "Date" not in name} for row in rows]
        assert undated == [{name: cell for name, cell in row.items() if "Date" not in name} for row in agreed]


@pytest.mark.proves("I13", "I15")
def test_vat_inside_prices_is_taken_out_of_income_once(world: World, tmp_path: Path) -> None:
    """By a journal of its own, to the penny of the VAT return; Xero takes it out itself, by the rate of its accounts."""
    _write(world, tmp_path)
    summary = world.rows("SELECT direction, sum(tax_minor) AS tax_minor FROM lake.recon.vat_summary GROUP BY direction")
    wanted = {row["direction"]: row["tax_minor"] for row in summary if row["direction"].startswith("output")}
    assert min(wanted.values()) < 0 < max(wanted.values())
    rows = _rows(tmp_path / "journals" / "generic_GBP_01.csv")
    taken = {
        account: sum(
            int(Decimal(row["credit"]).scaleb(2)) - int(Decimal(row["debit"]).scaleb(2))
            for row in rows
            if row["account"] == account and row["reference"] == "included_vat"
        )
        for account in ("sales", "shipping_income", "sales_refunds", "shipping_refunds", "output_vat")
    }
    assert taken["output_vat"] == sum(wanted.values())
    assert taken["sales"] + taken["shipping_income"] == -wanted["output_sales"]
    assert taken["sales_refunds"] + taken["shipping_refunds"] == -wanted["output_refunds"]
    shippings = world.rows(
        "SELECT sum(amount_minor) AS tax_minor FROM lake.core.mirakl__order_line_taxes AS t JOIN lake.core.mirakl__order_lines AS l "
        f"USING (order_line_id) WHERE tax_kind = 'shipping' AND strftime(timezone('Europe/London', debited_at), '%Y-%m') = '{OCTOBER}'"
    )
    assert taken["shipping_income"] == -shippings[0]["tax_minor"]
    for target in ("quickbooks", "netsuite", "sage"):
        assert "included_vat" in (tmp_path / "journals" / f"{target}_GBP_01.csv").read_text()
    assert "included_vat" not in (tmp_path / "journals" / "xero_GBP_01.csv").read_text()


def test_a_system_that_would_take_vat_twice_is_refused_and_its_mend_works(tmp_path: Path) -> None:
    """Of a month with taxes on top, or with accounts of both kinds; without rates it has the journal like the others."""
    world = make_world(tmp_path / "lake", lines=60, tax_mode="MIXED")
    world.close()
    show_month(world.con, ["asos_uk"], OCTOBER, {})
    _write(world, tmp_path)
    said = (tmp_path / "journals" / "xero_GBP.txt").read_text(encoding="utf-8")
    assert said.startswith("2026-10: no journal for xero: taxes come on top of the prices")
    assert "give sales, shipping and their refunds the tax_rate 'No VAT'" in said
    mended = [
        dataclasses.replace(each, tax_rate="No VAT") if each.target == "xero" else each
        for each in world.mappings.ledger_accounts
    ]
    write_journals(world.con, OCTOBER, mended, tmp_path)
    world.con.close()

    assert not (tmp_path / "journals" / "xero_GBP.txt").exists()
    rows = _rows(tmp_path / "journals" / "xero_GBP_01.csv")
    assert RULES["xero"](rows) == []
    assert any("included_vat" in row["*Narration"] for row in rows)


def test_accounts_of_one_system_are_all_rated_or_none(world: World, tmp_path: Path) -> None:
    half = [
        dataclasses.replace(each, tax_rate="No VAT") if (each.account, each.target) == ("sales", "xero") else each
        for each in world.mappings.ledger_accounts
    ]
    write_journals(world.con, OCTOBER, half, tmp_path)
    said = (tmp_path / "journals" / "xero_GBP.txt").read_text(encoding="utf-8")
    assert "VAT stays in sales, while xero would take VAT out of sales_refunds, shipping_income" in said


_OUTSIDE_VAT = ("marketplace_control", "marketplace_reserve", "bank_clearing", "suspense", "operator_remitted_tax")
_VAT = ("output_vat", "input_vat")
_VAT_BESIDE = ("commission", "marketplace_fees")
_INCOME = ("sales", "shipping_income", "sales_refunds", "shipping_refunds", "operator_paid_shipping")


def test_shipped_tax_codes_are_the_systems_own_and_fit_their_accounts() -> None:
    """Xero works VAT out by a line's rate; Sage never does, and takes it from the lines of the VAT accounts that have a code."""
    accounts = {
        (each.account, str(each.target)): each.tax_rate or "" for each in load_mappings(MAPPINGS).ledger_accounts
    }
    xero = {account: rate for (account, target), rate in accounts.items() if target == "xero"}
    sage = {account: code for (account, target), code in accounts.items() if target == "sage"}

    assert set(xero.values()) <= XERO_TAX_RATES
    assert set(sage.values()) <= SAGE_TAX_CODES
    assert {name for name in _OUTSIDE_VAT if (xero[name], sage[name]) != ("No VAT", "T9")} == set()
    # What the marketplace charges has its VAT in lines of their own: worked out once more it would be claimed twice.
    assert {name for name in (*_VAT, *_VAT_BESIDE) if xero[name] != "No VAT"} == set()
    assert {name for name in (*_VAT, *_VAT_BESIDE) if sage[name] != "T1"} == set()
    assert [name for name in _INCOME if "Expenses" in xero[name]] == []
    assert [name for name in xero.keys() - set(_INCOME) if "Income" in xero[name]] == []


def test_the_rules_refuse_what_is_wrong() -> None:
    """The checker itself sees a journal that does not balance, in every format."""
    for target in JournalTarget:
        rows = _rows(GOLDEN / f"{target}_GBP_01.csv")
        assert RULES[target](rows) == []
        assert RULES[target](rows[1:]) != [], target


def test_exporting_again_gives_the_same_bytes_and_no_file_too_many(world: World, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in _write(world, tmp_path)}
    (tmp_path / "journals" / "xero_GBP_02.csv").write_text("of an export that had more")
    (tmp_path / "journals" / "notes.txt").write_text("mine")
    again = {path.name: path.read_bytes() for path in _write(world, tmp_path)}

    assert again == first
    assert {path.name for path in (tmp_path / "journals").iterdir()} == {*first, "notes.txt"}


@pytest.mark.proves("I15")
def test_parts_of_a_cycle_are_its_payout_and_what_is_carried_nets_to_nothing(world: World, tmp_path: Path) -> None:
    _write(world, tmp_path)
    rows = _rows(tmp_path / "journals" / "generic_GBP_01.csv")
    payouts = {
        row["billing_cycle_id"]: row["statement_amount_minor"]
        for row in world.rows("SELECT * FROM lake.recon.payout_proof")
    }
    for cycle, payout in payouts.items():
        of_cycle = [row for row in rows if row["reference"] == cycle]
        # The cycle's parts: what the month booked on it, and what earlier months did; together they are due, then received.
        parts = sum(
            Decimal(row["credit"]) - Decimal(row["debit"])
            for row in of_cycle
            if not row["description"].startswith("payout") and row["account"] != "bank_clearing"
        )
        assert parts == Decimal(payout).scaleb(-2), cycle
    carried = [
        Decimal(row["debit"]) - Decimal(row["credit"])
        for row in rows
        if row["account"] == "marketplace_control" and row["description"].startswith("carried forward")
    ]
    opening = world.rows("SELECT * FROM lake.recon.control_roll_forward WHERE component = 'opening'")[0]["amount_minor"]
    assert sum(carried) == -Decimal(opening).scaleb(-2)


def test_generic_parquet_has_the_rows_of_the_csv(world: World, tmp_path: Path) -> None:
    _write(world, tmp_path)
    table = pq.read_table(tmp_path / "journals" / "generic_GBP_01.parquet")

    assert table.to_pylist() == _rows(tmp_path / "journals" / "generic_GBP_01.csv")


def test_a_long_month_is_split_between_journals_only(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        journals,
        "FORMATS",
        {**FORMATS, JournalTarget.XERO: dataclasses.replace(FORMATS[JournalTarget.XERO], file_lines_max=20)},
    )
    paths = [path for path in _write(world, tmp_path) if path.name.startswith("xero")]

    assert len(paths) > 1
    seen: set[str] = set()
    for path in paths:
        rows = _rows(path)
        assert RULES["xero"](rows) == []
        assert len(rows) <= 20
        names = {row["*Narration"] for row in rows}
        assert not names & seen
        seen |= names


def test_an_account_without_a_code_is_named_with_its_mend(world: World, tmp_path: Path) -> None:
    accounts = [
        each for each in world.mappings.ledger_accounts if (each.account, each.target) != ("commission", "sage")
    ]
    with pytest.raises(
        BadMapping, match=r"ledger_accounts.csv: account 'commission' has no code for sage.*add the row"
    ):
        write_journals(world.con, OCTOBER, accounts, tmp_path)


def test_a_journal_a_system_cannot_take_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        journals,
        "FORMATS",
        {**FORMATS, JournalTarget.NETSUITE: dataclasses.replace(FORMATS[JournalTarget.NETSUITE], journal_lines_max=3)},
    )
    with pytest.raises(ContractBroken, match="netsuite takes 3"):
        _write(world, tmp_path)


def test_a_system_that_cannot_hold_a_currency_says_so_and_the_others_have_their_journals(tmp_path: Path) -> None:
    """NetSuite holds two decimals at most, and dinars have three: nothing is rounded, and nothing is missing in silence."""
    world = make_world(tmp_path / "lake", lines=30, shape=Shape(currency="KWD", time_zone="Asia/Kuwait"))
    world.close()
    show_month(world.con, ["asos_uk"], OCTOBER, {})
    names = {path.name for path in _write(world, tmp_path)}
    world.con.close()

    said = (tmp_path / "journals" / "netsuite_KWD.txt").read_text(encoding="utf-8")
    assert said.startswith("2026-10: no journal for netsuite in KWD: its amounts have 3 decimals and netsuite holds 2")
    assert names == {
        "generic_KWD_01.csv", "generic_KWD_01.parquet", "netsuite_KWD.txt", "quickbooks_KWD_01.csv", "sage_KWD_01.csv", "xero_KWD_01.csv",
    }  # fmt: skip
    for target in ("generic", "quickbooks", "sage", "xero"):
        assert RULES[target](_rows(tmp_path / "journals" / f"{target}_KWD_01.csv")) == []


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_journal_is_a_formula_and_amounts_are_numbers(world: World, tmp_path: Path, first: str) -> None:
    world.con.execute("CREATE OR REPLACE TEMP TABLE kept AS FROM shown_journal_lines")
    world.con.execute(
        f"CREATE OR REPLACE TEMP VIEW shown_journal_lines AS SELECT * REPLACE ('{first}cmd|A1' AS description, "
        f"'{first}HYPERLINK(1)' AS reference) FROM kept"
    )
    try:
        _write(world, tmp_path)
    finally:
        show_month(world.con, ["asos_uk"], OCTOBER, {})
    for target in RULES:
        rows = _rows(tmp_path / "journals" / f"{target}_GBP_01.csv")
        texts = [cell for row in rows for cell in row.values() if not re.fullmatch(r"-?\d+(\.\d+)?", cell)]
        assert any("cmd|A1" in text for text in texts)
        assert [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
        assert RULES[target](rows) == []
