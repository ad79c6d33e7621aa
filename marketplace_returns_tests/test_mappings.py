"""Mapping tables: what loads is whole; a mistake is told with file, line, reason and mend."""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from marketplace_returns.errors import BadMapping
from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.mappings import MAPPING_TABLES, Disposition, Mappings, columns_of, load_mappings

SHIPPED = Path(__file__).parent.parent / "mappings"
REASONS = "source_system,source_code,flow,target_vocabulary,target_code,valid_from,approved_by\n"
REASON = "mirakl,RETURN_OTHER,refund,mirakl_refund,17,,\n"


def refusal(directory: Path) -> str:
    with pytest.raises(BadMapping) as refused:
        load_mappings(directory)
    return str(refused.value)


@pytest.mark.proves("C3")
def test_the_shipped_tables_load_and_hang_together() -> None:
    mappings = load_mappings(SHIPPED)
    accounts = {row.account for row in mappings.ledger_accounts}
    assert len(mappings.transaction_types) == 51
    assert {row.ledger_account for row in mappings.transaction_types} <= accounts
    for target in ("generic", "xero", "quickbooks", "netsuite", "sage"):
        assert {row.account for row in mappings.ledger_accounts if row.target == target} == accounts
    refundable = {row.source_code for row in mappings.reasons if row.flow == "refund"}
    created = {row.source_code for row in mappings.reasons if row.flow == "create_return"}
    assert refundable == created - {"*"}
    assert len(refundable) == 19


def test_every_table_is_there_to_be_edited() -> None:
    files = {path.stem: path for path in SHIPPED.glob("*.csv")}
    assert set(files) == set(MAPPING_TABLES)
    for name, path in files.items():
        header = path.read_text(encoding="utf-8").partition("\n")[0]
        assert header.split(",") == list(columns_of(name)), name


@pytest.mark.proves("R22")
def test_the_table_of_exceptions_holds_the_delivered_rule_of_every_type() -> None:
    rules = load_mappings(SHIPPED).exceptions
    assert {rule.type: rule for rule in rules} == default_rules()


def test_absent_file_is_an_empty_table(tmp_path: Path) -> None:
    assert load_mappings(tmp_path) == Mappings()
    frames = load_mappings(tmp_path).frames()
    assert len(frames) == 9
    assert all(frame.num_rows == 0 for frame in frames.values())


def test_each_file_that_was_read_is_named_with_its_hash(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + f"{REASONS}{REASON}".encode()
    (tmp_path / "reasons.csv").write_bytes(content)
    assert load_mappings(tmp_path).files == {"reasons.csv": hashlib.sha256(content).hexdigest()}
    instead = load_mappings(tmp_path, {"reasons": REASONS})
    assert instead.files == {"reasons.csv": hashlib.sha256(REASONS.encode()).hexdigest()}


def test_rows_are_typed_and_framed(tmp_path: Path) -> None:
    (tmp_path / "commission_rates.csv").write_text(
        "shop,category,valid_from,rate,credit_on_refund\nasos_uk, shoes ,2026-01-01,0.15,FULL\n\n", encoding="utf-8-sig"
    )
    (tmp_path / "transaction_types.csv").write_text(
        "type,component,sign,ledger_account\nPAYMENT,payout,-1,bank\n", encoding="utf-8"
    )
    mappings = load_mappings(tmp_path)
    rate = mappings.commission_rates[0]
    assert (rate.category, rate.valid_from, rate.rate, rate.credit_on_refund) == (
        "shoes",
        date(2026, 1, 1),
        Decimal("0.15"),
        "full",
    )
    frame = mappings.frames()["commission_rates"]
    assert [str(kind) for kind in frame.schema.types] == [
        "string",
        "string",
        "date32[day]",
        "decimal128(38, 10)",
        "string",
    ]
    assert mappings.frames()["transaction_types"]["sign"].to_pylist() == [-1]


def test_empty_optional_cell_is_null(tmp_path: Path) -> None:
    (tmp_path / "reasons.csv").write_text(REASONS + REASON, encoding="utf-8")
    assert load_mappings(tmp_path).frames()["reasons"]["valid_from"].to_pylist() == [None]


@pytest.mark.proves("C3")
@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        (
            "reasons",
            REASONS + REASON + REASON.replace("RETURN_OTHER", "return_other"),
            3,
            "second row .*first on line 2",
        ),
        ("reasons", REASONS + REASON.replace("17", " "), 2, "target_code: is empty"),
        (
            "reasons",
            REASONS + REASON.replace("refund,", "refnd,"),
            2,
            "'refnd' is not one of its words: use create_return",
        ),
        ("reasons", REASONS + REASON.replace("mirakl_refund", "reveni"), 2, "does not translate into reveni"),
        ("reasons", REASONS + REASON.replace("17,,", "17,31/10/2026,"), 2, "is not a day: write it as 2026-10-31"),
        ("reasons", REASONS + "mirakl,x\n", 2, "has 2 cells, the header has 7"),
        ("reasons", REASONS + 'mirakl,"x\n', 2, "not readable CSV"),
        ("reasons", REASONS.replace("flow", "flows"), 1, "unknown column 'flows'"),
        ("reasons", REASONS.replace(",approved_by", ""), 1, "column 'approved_by' is missing"),
        ("reasons", REASONS.replace("approved_by", "flow"), 1, "column 'flow' is there twice"),
        ("dispositions", "source_system,source_code,canonical\npeoplevox,new|true,fine\n", 2, "use sellable"),
        ("statuses", "source_system,source_code,canonical\nreveni,pending,waiting\n", 2, "use requested"),
        ("transaction_types", "type,component,sign,ledger_account\nPAYMENT,payout,0,bank\n", 2, "use 1, -1"),
        ("exceptions", "type,owner,severity,sla_hours,playbook\nX,me,high,soon,p\n", 2, "not a whole number"),
        ("exceptions", "type,owner,severity,sla_hours,playbook\nX,me,high,0,p\n", 2, "above 0"),
        (
            "commission_rates",
            "shop,category,valid_from,rate,credit_on_refund\ns,c,2026-01-01,15,full\n",
            2,
            "write 15 % as 0.15",
        ),
        (
            "commission_rates",
            "shop,category,valid_from,rate,credit_on_refund\ns,c,2026-01-01,NaN,full\n",
            2,
            "not a number",
        ),
    ],
)
def test_mistake_is_told_with_file_line_reason_and_mend(
    tmp_path: Path, name: str, text: str, line: int, reason: str
) -> None:
    (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadMapping, match=rf"{name}\.csv, line {line}.*{reason}"):
        load_mappings(tmp_path)


def test_file_that_is_no_mapping_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reason.csv").write_text(REASONS, encoding="utf-8")
    assert "known ones are reasons" in refusal(tmp_path)


def test_unreadable_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reasons.csv").write_bytes(REASONS.encode() + b"mirakl,\xff\n")
    assert "not UTF-8" in refusal(tmp_path)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")


@pytest.mark.proves("R33", "C3")
def test_version_follows_the_contents_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "reasons.csv"
    other = REASON.replace("RETURN_OTHER", "RETURN_WARRANTY")
    file.write_text(REASONS + REASON + other, encoding="utf-8")
    first = load_mappings(tmp_path).version
    file.write_text(REASONS + other + "\n" + REASON, encoding="utf-8")
    assert load_mappings(tmp_path).version == first
    file.write_text(REASONS + REASON, encoding="utf-8")
    assert load_mappings(tmp_path).version != first


@pytest.mark.proves("R13", "R68")
def test_dispositions_cover_what_the_warehouse_reports() -> None:
    known = {
        row.source_code: row.canonical
        for row in load_mappings(SHIPPED).dispositions
        if row.source_system == "peoplevox"
    }
    assert known["new|true"] is Disposition.SELLABLE
    assert known["damaged|false"] is Disposition.DAMAGED
    assert known["wrong item|true"] is known["wrong item|false"] is Disposition.WRONG_ITEM
    assert known["quarantine|false"] is Disposition.QUARANTINE
