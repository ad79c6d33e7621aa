"""The CSV dialect, the captions and the envelopes: what is written comes back, what cannot be read stays text."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_returns.errors import ContractBroken
from marketplace_returns.sandbox import peoplevox_csv, peoplevox_soap
from marketplace_returns.sources.peoplevox import captions, soap
from marketplace_returns.sources.peoplevox.dialect import read_table, to_import_date, to_utc_text, write_table

LONDON = ZoneInfo("Europe/London")
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(str.strip)


def test_the_documented_answer_is_read() -> None:
    detail = '"Salesorder number","Despatch date"\r\n"O1","\'03/07/2017 06:03\'"\r\n""\r\n'
    assert read_table(detail) == (["Salesorder number", "Despatch date"], [["O1", "03/07/2017 06:03"]])


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_a_saved_table_is_read_by_the_other_side_as_it_was(rows: list[list[str]]) -> None:
    text = write_table(["A", "B"], rows)
    headers, found = peoplevox_csv.parse(text)
    assert headers == ["A", "B"]
    assert [[row["A"], row["B"]] for row in found] == [row for row in rows if any(row)]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("03/07/2026 06:03", "2026-07-03T05:03:00Z"),
        ("03/07/2026 06:03:59", "2026-07-03T05:03:59Z"),
        ("03/01/2026", "2026-01-03T00:00:00Z"),
        ("32/13/2026 06:03", "32/13/2026 06:03"),
        ("25/10/2026 01:30", "2026-10-25T00:30:00Z"),  # comes twice: the earlier one
        ("29/03/2026 01:30", "2026-03-29T01:30:00Z"),  # never comes: read as if the clock had not moved
    ],
)
def test_tenant_dates_become_utc(text: str, instant: str) -> None:
    assert to_utc_text(text, LONDON) == instant


@pytest.mark.parametrize("text", ["", "31/02/2026 10:00", "2026-07-03", "soon", "07/13/2026 10:00"])
def test_what_is_no_date_stays_the_text_it_was(text: str) -> None:
    assert to_utc_text(text, LONDON) == text


def test_only_a_date_loses_its_single_quotes() -> None:
    assert read_table('"A","B"\n"\'tis\'","\'01/02/2026\'"\n')[1] == [["'tis'", "01/02/2026"]]


def test_import_dates_are_tenant_local() -> None:
    assert to_import_date(datetime(2026, 7, 1, 8, tzinfo=UTC), LONDON) == "2026-07-01 09:00:00"
    assert to_import_date(datetime.max.replace(tzinfo=UTC), ZoneInfo("Europe/Berlin")) == ""


def test_captions_are_found_by_name_whatever_their_case_and_marks() -> None:
    reading = captions.read_captions(captions.STOCK, ["ITEM_CODE", "available ", "Bin", "Contact name", ""])
    assert reading.row(["SKU-1", "3", "B7", "Nobody", "x"], LONDON) == {
        "item_code": "SKU-1", "available": "3", "site": "*", "Bin": "B7",
    }  # fmt: skip


def test_a_renamed_caption_is_found_by_its_alias() -> None:
    reading = captions.read_captions(captions.STOCK, ["Code", "Free"], {"code": "Item code", "Free": "Available"})
    assert reading.captions == {"item_code": "Code", "available": "Free"}


def test_two_captions_of_one_meaning_are_not_guessed_between() -> None:
    with pytest.raises(ContractBroken, match="both mean"):
        captions.read_captions(captions.STOCK, ["Item code", "ItemCode", "Available"])


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_survives_the_envelope(value: str, session: str) -> None:
    body = soap.envelope(
        "GetData", {"SearchClause": value}, wrapper="getRequest", credentials=soap.Credentials("tenant", session)
    )
    call = peoplevox_soap.read_call(body, "text/xml; charset=utf-8", soap.action("GetData"))
    assert call.arguments["SearchClause"] == value.translate({0xFFFE: " ", 0xFFFF: " "})
    assert call.session is not None
    assert call.session.client_id == "tenant"


def test_what_xml_cannot_carry_becomes_a_blank() -> None:
    assert b"<A>a b</A>" in soap.envelope("GetData", {"A": "a\x00b"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(soap.UnreadableEnvelope):
        soap.read_answer("GetData", body)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.lists(st.sampled_from(["Success", "No & <no>"])))
def test_an_answer_of_the_other_side_is_read_whole(detail: str, statuses: list[str]) -> None:
    call = peoplevox_soap.SoapCall(peoplevox_soap.ENVELOPE_1_1, "SaveData", {}, None)
    sent = peoplevox_soap.write_response(call, peoplevox_soap.IntegrationResponse(0, 2, detail, statuses))
    answer = soap.read_answer("SaveData", sent.encode())
    assert answer.statuses == tuple(statuses)
    assert answer.detail == detail.replace("￾", "").replace("￿", "")


def test_an_instant_before_all_time_stays_the_text_it_was() -> None:
    assert to_utc_text("01/01/0001 00:00", ZoneInfo("Pacific/Auckland")) == "01/01/0001 00:00"
