"""The pack: columns of the contract, exact decimals, the same bytes twice, cells that are no formulas, a readable workbook and page."""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import snapshot_of
from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.reconciliation import pack, pictures, workbook
from marketplace_returns.reconciliation.close import ensure_tables
from marketplace_returns.reconciliation.evidence import MadeWith
from marketplace_returns.reconciliation.invariants import check_month
from marketplace_returns.reconciliation.tables import (
    JOURNAL_LINES,
    PACK_TABLES,
    PAYOUT_PROOF,
    PRIOR_PERIOD_ADJUSTMENTS,
    RESERVE_ROLL_FORWARD,
)
from marketplace_returns_tests.reconciliation.generate import Shape
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


_LAST = "2026-10-31 23:59:59.999999"


def _plant(world: World) -> None:
    world.plant(
        "UPDATE lake.core.mirakl__billing_cycles SET pay_out_state = '=HYPERLINK(1)' WHERE billing_cycle_id = 'cycle-2026-10-11'",
        "UPDATE lake.core.mirakl__billing_cycles SET pay_out_state = '<script>a&b</script>' WHERE billing_cycle_id = 'cycle-2026-10-21'",
        "UPDATE lake.core.mirakl__order_line_taxes SET rate = 20",
        f"UPDATE lake.core.mirakl__billing_cycles SET created_at = TIMESTAMPTZ '{_LAST}+00' WHERE billing_cycle_id = 'cycle-2026-10-21'",
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


def _export(world: World, folder: Path, *, made_with: Sequence[MadeWith] = ()) -> pack.Manifest:
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
        made_with=made_with,
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


def test_manifest_cover_and_page_name_what_the_pack_was_made_with(world: World, tmp_path: Path) -> None:
    files = {"ledger_accounts.csv": "0a" * 32}
    made_with = (
        MadeWith("asos_uk", "1.2.3", "0123456789abcdef", files, {"sage": "dd/mm/yyyy"}, {"refund": {"GBP": "0.02"}}),
    )
    named = _export(world, tmp_path / "named", made_with=made_with)
    before = _export(world, tmp_path / "before")

    written = json.loads((tmp_path / "named" / "manifest.json").read_text(encoding="utf-8"))
    assert written["made_with"] == [
        {
            "shop": "asos_uk",
            "version": "1.2.3",
            "mappings": "0123456789abcdef",
            "mapping_files": files,
            "date_formats": {"sage": "dd/mm/yyyy"},
            "tolerances": {"refund": {"GBP": "0.02"}},
        }
    ]
    assert "made_with" not in json.loads((tmp_path / "before" / "manifest.json").read_text(encoding="utf-8"))
    assert pack.content_hash(named) == pack.content_hash(before), "it is not part of what is signed"
    said = "version 1.2.3, mappings 0123456789abcdef"
    cover = openpyxl.load_workbook(tmp_path / "named" / "month_end.xlsx")["cover"]
    assert cover["A2"].value == f"asos_uk ({said})"
    assert f"Made with {said}." in (tmp_path / "named" / "close.html").read_text(encoding="utf-8")
    assert "Made with" not in (tmp_path / "before" / "close.html").read_text(encoding="utf-8")


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


def test_what_may_not_be_added_up_has_a_total_each(exported: Path) -> None:
    rows = _rows(exported / "vat_summary.csv")
    book = openpyxl.load_workbook(exported / "month_end.xlsx", data_only=True)
    totals = {row[0]: row for row in book["vat_summary"].iter_rows(values_only=True) if str(row[0]).startswith("Total")}
    assert list(totals) == [f"Total GBP {direction}" for direction in ("input", "output_refunds", "output_sales")]
    for direction in ("input", "output_refunds", "output_sales"):
        tax = sum(Decimal(row["tax"]) for row in rows if row["direction"] == direction)
        assert round(Decimal(totals[f"Total GBP {direction}"][7]), 2) == tax, "VAT that is owed and VAT that comes back"
    formulas = openpyxl.load_workbook(exported / "month_end.xlsx")["vat_summary"]
    assert [cell.value for row in formulas.iter_rows() for cell in row if str(cell.value).startswith("=")][1] == (
        f'=SUMIFS($H$4:$H${len(rows) + 3},$B$4:$B${len(rows) + 3},"GBP",$D$4:$D${len(rows) + 3},"input")'
    )
    for table in ("timing_differences", "manual_portal_actions"):
        named = [str(row[0]) for row in book[table].iter_rows(values_only=True) if str(row[0]).startswith("Total")]
        assert len(named) == len({row[2] for row in book[table].iter_rows(min_row=4, values_only=True) if row[2]})


def test_a_sheet_can_be_read(exported: Path) -> None:
    book = openpyxl.load_workbook(exported / "month_end.xlsx")
    weeks = book["returns_by_week"]
    assert weeks["D4"].is_date, "a day is a day, and can be sorted"
    assert weeks.column_dimensions["D"].width >= len("2026-10-05") + 1, "and is seen whole"
    proof = book["payout_proof"]
    assert proof["F4"].number_format == "#,##0.00_);[Red]-#,##0.00_)", "apart from a text beside it"
    assert proof["F3"].alignment.horizontal == "right", "a caption is over its numbers"
    assert str(proof["A1"].value).endswith(" Times are UTC.")
    assert str(proof["D6"].value) == "2026-10-31 23:59:59", "the month's last microsecond is no instant of the next"
    assert book["reserve_roll_forward"]["A4"].value == "No rows in this month."
    cover = {row[1].value: row[3] for row in book["cover"].iter_rows(min_row=4)}
    assert str(cover["I17"].value).startswith("each line and refund"), "the proof's number has a column of its own"
    assert cover["I17"].alignment.wrap_text
    assert book["cover"].row_dimensions[cover["I17"].row].height == 30
    assert book["refund_three_way"].page_setup.fitToWidth == 2, "printed on more pages, for else it is too small"
    for sheet in book:
        assert sheet.oddFooter.left.text == "Month-end pack 2026-10: &A", sheet.title
    assert [each.id for each in book["pictures"].row_breaks.brk] == [1 + 3 * 23], "no picture is cut"


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
    assert [row[7].value for row in formulas.iter_rows(min_row=10, max_row=10)] == ['=SUMIF($B$4:$B$8,"GBP",$H$4:$H$8)']


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


def test_a_month_that_was_signed_before_a_column_was_there_is_exported_without_it(world: World) -> None:
    """And has it, empty, beside a month that has it; a column that the pack does not show changes nothing."""
    path, proof = PRIOR_PERIOD_ADJUSTMENTS.table.path, PAYOUT_PROOF.table.path
    assert world.rows(f"SELECT * FROM {path}") == []
    hidden = "CREATE TEMP TABLE hidden AS SELECT billing_cycle_id, invoice_amount_minor FROM "
    world.con.execute(hidden + proof)
    world.con.execute(f"ALTER TABLE {path} DROP COLUMN kind")
    world.con.execute(f"ALTER TABLE {proof} DROP COLUMN invoice_amount_minor")
    signed = Period("asos_uk", OCTOBER, PeriodState.SIGNED, lake_snapshot=str(snapshot_of(world.con)))
    ensure_tables(world.lake, world.con)
    world.con.execute(
        f"UPDATE {proof} SET invoice_amount_minor = hidden.invoice_amount_minor FROM hidden WHERE payout_proof.billing_cycle_id = hidden.billing_cycle_id"
    )

    shown = {table.name: table for table in pack.show_month(world.con, ["asos_uk"], OCTOBER, {"asos_uk": signed})}
    without = tuple(each for each in PRIOR_PERIOD_ADJUSTMENTS.columns if each[0] != "kind")
    assert shown.pop("prior_period_adjustments").columns == without
    assert shown == {table.name: table for table in PACK_TABLES if table is not PRIOR_PERIOD_ADJUSTMENTS}
    rows = world.rows("SELECT kind FROM shown_prior_period_adjustments UNION ALL SELECT status FROM shown_payout_proof")
    assert len(rows) == 3, "the pictures, the page and the journals find every column"
    both = pack.show_month(world.con, ["asos_uk", "other"], OCTOBER, {"asos_uk": signed})
    assert both == PACK_TABLES


def test_pictures_are_small_and_the_same_twice(world: World) -> None:
    pack.show_month(world.con, ["asos_uk"], OCTOBER, {})
    first = pictures.month_pictures(world.con, "asos_uk", OCTOBER)

    assert first == pictures.month_pictures(world.con, "asos_uk", OCTOBER)
    assert all(picture.startswith(b"\x89PNG") and len(picture) < pictures.BYTES_MAX for picture in first.values())


def _drawn(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the month's pictures as figures, before they are bytes."""
    draw: Callable[..., bytes] = pictures._png
    drawn: list[Any] = []
    monkeypatch.setattr(pictures, "_png", lambda figure, **named: drawn.append(figure) or draw(figure, **named))
    pack.show_month(world.con, ["asos_uk"], OCTOBER, {})
    return dict(zip(pictures.month_pictures(world.con, "asos_uk", OCTOBER), drawn, strict=True))


@pytest.mark.parametrize(("currency", "zone", "least"), [("KWD", "Asia/Kuwait", "0.001"), ("JPY", "Asia/Tokyo", "1")])
def test_pictures_write_amounts_as_their_currency_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, currency: str, zone: str, least: str
) -> None:
    plant = (
        "UPDATE gen_intents SET amount_minor = amount_minor + 1 WHERE intent_id = (SELECT min(intent_id) FROM gen_intents "
        "WHERE confirmed_at BETWEEN TIMESTAMPTZ '2026-10-10' AND TIMESTAMPTZ '2026-10-15')"
    )
    world = make_world(
        tmp_path, lines=60, shape=Shape(currency=currency, time_zone=zone), plant=lambda made: made.plant(plant)
    )
    world.close()
    drawn = _drawn(world, monkeypatch)
    world.con.close()

    assert f" {least} in 1 row" in [text.get_text() for text in drawn["aged_unmatched"].axes[0].texts]
    counts = drawn["refund_three_way"].axes[0]
    assert counts.yaxis.get_major_formatter()(10) == "10", "no powers of ten"


def test_an_export_without_shops_or_into_a_file_is_refused(world: World, tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.write_text("x")

    with pytest.raises(BadArgument, match="at least one shop"):
        pack.export(world.lake, world.con, [], OCTOBER, tmp_path, accounts=(), periods={}, results={})
    with pytest.raises(BadArgument, match="is a file"):
        pack.export(world.lake, world.con, ["asos_uk"], OCTOBER, place, accounts=(), periods={}, results={})
