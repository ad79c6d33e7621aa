"""The pack: columns of the contract, exact decimals, the same bytes twice, cells that are no formulas, a readable workbook and page."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import snapshot_of
from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.reconciliation import pack, pictures, workbook
from marketplace_returns.reconciliation.close import ensure_tables
from marketplace_returns.reconciliation.invariants import check_month
from marketplace_returns.reconciliation.tables import JOURNAL_LINES, PACK_TABLES, RESERVE_ROLL_FORWARD
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

CONTRACT = {
    "payout_proof": "billing_cycle_id, date_created, pay_out_state, statement_amount, ledger_amount, payment_amount, difference, status",
    "payout_components": "billing_cycle_id, component, statement_amount, ledger_amount, difference",
    "control_roll_forward": "month, component, amount",
    "reserve_roll_forward": "month, component, amount",
    "order_vs_ledger": "order_id, order_line_id, component, order_amount, ledger_amount, difference, variance_code",
    "refund_three_way": (
        "order_id, order_line_id, return_id, refund_id, intended_amount, marketplace_amount, settled_amount, platform_amount, "
        "received_quantity, disposition, requested_at, paid_at, billing_cycle_id, difference, verdict"
    ),
    "returns_physical_roll": "month, stage, quantity, value",
    "returns_by_week": "month, week, sold_quantity, returned_quantity, refunded_quantity, hours_to_refund",
    "refund_accrual_bridge": "month, line, amount",
    "vat_summary": "month, direction, tax_code, rate, net, tax",
    "commission_variance": (
        "order_id, order_line_id, expected_commission, charged_commission, expected_credit, credited, difference, variance_code"
    ),
    "despatch_vs_revenue": "order_id, order_line_id, despatched_quantity, shipped_quantity, value, state",
    "timing_differences": "cause, order_id, refund_id, amount, from_month, to_month",
    "aged_unmatched": "bucket, kind, reference, amount, age_days, owner",
    "manual_portal_actions": "kind, order_id, order_line_id, refund_id, amount, seen_at",
    "prior_period_adjustments": "original_month, posted_month, kind, reference, amount",
    "stock_proof": "month, kind, reference, wanted_quantity, found_quantity, state",
    "journal_lines": "month, journal_id, line_no, account, description, debit, credit, reference",
    "sign_off": "month, state, prepared_by, prepared_at, approved_by, approved_at, lake_snapshot, manifest_hash",
}


def _plant(world: World) -> None:
    world.plant(
        "UPDATE lake.core.mirakl__billing_cycles SET pay_out_state = '=HYPERLINK(1)' WHERE billing_cycle_id = 'cycle-2026-10-11'",
        "UPDATE lake.core.mirakl__billing_cycles SET pay_out_state = '<script>a&b</script>' WHERE billing_cycle_id = 'cycle-2026-10-21'",
        "UPDATE lake.core.mirakl__order_line_taxes SET rate = 20",
        "UPDATE gen_intents SET amount_minor = amount_minor + 1 WHERE intent_id = "
        "(SELECT min(intent_id) FROM gen_intents WHERE confirmed_at BETWEEN TIMESTAMPTZ '2026-10-10' AND TIMESTAMPTZ '2026-10-15')",
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("pack"), lines=120, plant=_plant)
    made.close()
    yield made
    made.con.close()


@pytest.fixture(scope="module")
def exported(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The month's pack, which most tests read."""
    folder = tmp_path_factory.mktemp("exported")
    _export(world, folder)
    return folder


def _export(world: World, folder: Path) -> pack.Manifest:
    results = {"asos_uk": check_month(world.con, world.shop, OCTOBER)}
    return pack.export(
        world.lake,
        world.con,
        ["asos_uk"],
        OCTOBER,
        folder,
        accounts=world.mappings.ledger_accounts,
        periods={},
        results=results,
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_the_contract(exported: Path) -> None:
    for name, columns in CONTRACT.items():
        header = (exported / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0]
        assert header == "shop,currency," + columns.replace(" ", ""), name


@pytest.mark.proves("R99")
@pytest.mark.played
def test_the_same_month_gives_the_same_bytes_after_another_close(world: World, exported: Path, tmp_path: Path) -> None:
    world.close(run_id="again")
    again = _export(world, tmp_path)

    assert {file.name for file in again.files} >= {"close.html", "month_end.xlsx", "payout_proof.csv"}
    for file in again.files:
        content = (exported / file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert len(content) == file.size_bytes
        if file.name.endswith(".csv"):
            assert b"\r" not in content


def test_manifest_names_files_rows_snapshot_and_proofs(world: World, exported: Path) -> None:
    written = json.loads((exported / "manifest.json").read_text(encoding="utf-8"))
    assert written["month"] == "2026-10"
    assert 0 < written["lake_snapshot"] <= snapshot_of(world.con)
    rows = {file["name"]: file["rows"] for file in written["files"]}
    assert rows["payout_proof.csv"] == 3 == len(_rows(exported / "payout_proof.csv"))
    assert {proof["id"] for proof in written["proofs"]} >= {"I1", "I15"}


def test_amounts_are_plain_decimals_and_roll_forward_adds_up(exported: Path) -> None:
    rows = _rows(exported / "control_roll_forward.csv")
    assert [rows[0]["component"], rows[-1]["component"]] == ["opening", "closing"]
    amounts = [Decimal(row["amount"]) for row in rows]
    assert all(amount.as_tuple().exponent == -2 for amount in amounts)
    assert sum(amounts[:-1]) == amounts[-1]


def test_a_rate_of_vat_is_written_as_people_write_it(exported: Path) -> None:
    rates = {row["rate"] for row in _rows(exported / "vat_summary.csv")}
    assert rates == {"", "20"}
    sheet = openpyxl.load_workbook(exported / "month_end.xlsx")["vat_summary"]
    assert 20 in [cell.value for row in sheet.iter_rows() for cell in row]


def test_order_lines_are_shown_by_component(exported: Path) -> None:
    rows = _rows(exported / "order_vs_ledger.csv")
    assert {row["component"] for row in rows} == {"sales", "shipping", "commission", "commission_vat"}
    assert all(row["order_amount"] == row["ledger_amount"] and row["difference"] == "0.00" for row in rows)


def test_text_that_looks_like_a_formula_is_made_safe_and_numbers_are_not(exported: Path) -> None:
    assert "'=HYPERLINK(1)" in {row["pay_out_state"] for row in _rows(exported / "payout_proof.csv")}
    assert any(row["amount"].startswith("-") for row in _rows(exported / "control_roll_forward.csv"))
    sheet = openpyxl.load_workbook(exported / "month_end.xlsx")["payout_proof"]
    cell = next(cell for row in sheet.iter_rows() for cell in row if cell.value == "=HYPERLINK(1)")
    assert cell.data_type == "s" or cell.quotePrefix


def test_workbook_opens_with_cover_frozen_headers_filters_and_totals(exported: Path) -> None:
    book = openpyxl.load_workbook(exported / "month_end.xlsx")
    assert book.sheetnames == ["cover", "pictures", *CONTRACT]
    assert len(book["pictures"]._images) == len({image.anchor._from.row for image in book["pictures"]._images}) == 5
    cover = [[cell.value for cell in row] for row in book["cover"].iter_rows(min_row=4)]
    assert ("I1", "PROVEN") in {(row[1], row[2]) for row in cover}
    sheet = book["journal_lines"]
    assert sheet.freeze_panes == "A4"
    assert sheet.print_title_rows == "$3:$3", "on every printed page"
    assert sheet.auto_filter.ref is not None
    formulas = [cell.value for row in sheet.iter_rows() for cell in row if str(cell.value).startswith("=SUMIF")]
    assert len(formulas) == 2
    values = openpyxl.load_workbook(exported / "month_end.xlsx", data_only=True)["journal_lines"]
    totals = [row for row in values.iter_rows(values_only=True) if row[0] == "Total GBP"]
    assert totals[0][7] == totals[0][8]


def test_a_sheet_that_shows_not_all_rows_has_the_totals_of_all(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "SHEET_ROWS_MAX", 5)
    pack.show_month(world.con, ["asos_uk"], OCTOBER, {})
    with workbook.Workbook(tmp_path / "book.xlsx", OCTOBER) as book:
        book.add_table(world.con, JOURNAL_LINES, pack.pack_query(JOURNAL_LINES))

    (found,) = world.rows(
        "SELECT count(*) AS rows, sum(debit_minor) AS debit, sum(credit_minor) AS credit FROM lake.recon.journal_lines"
    )
    sheet = openpyxl.load_workbook(tmp_path / "book.xlsx", data_only=True)["journal_lines"]
    rows = {row[0]: row for row in sheet.iter_rows(min_row=4, values_only=True) if row[0] and row[0] != "asos_uk"}
    assert list(rows) == [
        "Total GBP of 5 rows shown",
        f"Total GBP of all {found['rows']} rows",
        f"{found['rows'] - 5} of {found['rows']} rows are not shown: journal_lines.csv has them all",
    ]
    shown, all_of_them, _ = rows.values()
    assert (round(all_of_them[7] * 100), round(all_of_them[8] * 100)) == (found["debit"], found["credit"])
    assert shown[7] < all_of_them[7]
    formulas = openpyxl.load_workbook(tmp_path / "book.xlsx")["journal_lines"]
    assert [row[7].value for row in formulas.iter_rows(min_row=10, max_row=10)] == ['=SUMIF($B$4:$B$8,"GBP",H$4:H$8)']


def test_page_is_one_file_that_loads_and_runs_nothing(exported: Path) -> None:
    page = (exported / "close.html").read_text(encoding="utf-8")

    assert "<script" not in page
    assert "&lt;script&gt;a&amp;b&lt;/script&gt;" in page, "what a source says is text"
    assert re.findall(r"(?:src|href)=\"(?!data:)|https?://|@import|url\(", page) == []
    assert page.count("data:image/png;base64,") == 5


def test_page_says_what_the_tables_say(world: World, exported: Path) -> None:
    page = (exported / "close.html").read_text(encoding="utf-8")

    (closing,) = (
        row["amount"] for row in _rows(exported / "control_roll_forward.csv") if row["component"] == "closing"
    )
    assert f"<b>{Decimal(closing):,} GBP</b>" in page
    for result in check_month(world.con, world.shop, OCTOBER):
        word, look = ("PROVEN", "good") if result.ok else ("VARIANCE", "bad")
        shown = f'<td>{result.id}</td><td><span class="word {look}">{word}</span></td>'
        assert shown in page, result.message
    assert "All 18 proofs hold to 0." in page
    open_items = [row for row in _rows(exported / "aged_unmatched.csv") if not row["kind"].startswith("TIMING")]
    assert [row["kind"] for row in open_items] == ["ROUNDING"]
    for text in ("ROUNDING", open_items[0]["reference"], "0.01 GBP", open_items[0]["owner"]):
        assert f">{text}</td>" in page
    assert '<span class="word wait">OPEN</span> not closed for review yet' in " ".join(page.split())


def test_a_month_that_was_signed_before_a_table_was_there_is_exported_without_it(world: World) -> None:
    path = RESERVE_ROLL_FORWARD.table.path
    (no_rows,) = world.rows(f"SELECT count(*) AS rows FROM {path}")
    assert no_rows["rows"] == 0
    world.con.execute(f"DROP TABLE {path}")
    signed = Period("asos_uk", OCTOBER, PeriodState.SIGNED, lake_snapshot=str(snapshot_of(world.con)))
    ensure_tables(world.lake, world.con)

    shown = pack.show_month(world.con, ["asos_uk"], OCTOBER, {"asos_uk": signed})
    assert {table.name for table in PACK_TABLES} - {table.name for table in shown} == {"reserve_roll_forward"}
    assert world.rows("SELECT * FROM shown_reserve_roll_forward") == []
    assert pack.show_month(world.con, ["asos_uk"], OCTOBER, {}) == PACK_TABLES


def test_pictures_are_small_and_the_same_twice(world: World) -> None:
    pack.show_month(world.con, ["asos_uk"], OCTOBER, {})
    first = pictures.month_pictures(world.con, "asos_uk", OCTOBER)

    assert first == pictures.month_pictures(world.con, "asos_uk", OCTOBER)
    assert all(picture.startswith(b"\x89PNG") and len(picture) < pictures.BYTES_MAX for picture in first.values())


def test_an_export_without_shops_or_into_a_file_is_refused(world: World, tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.write_text("x")

    with pytest.raises(BadArgument, match="at least one shop"):
        pack.export(world.lake, world.con, [], OCTOBER, tmp_path, accounts=(), periods={}, results={})
    with pytest.raises(BadArgument, match="is a file"):
        pack.export(world.lake, world.con, ["asos_uk"], OCTOBER, place, accounts=(), periods={}, results={})
