"""The world-free parts of the Peoplevox face: CSV dialect, clauses, envelopes, WSDL."""

from datetime import UTC, datetime
from xml.etree.ElementTree import fromstring
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace_returns.sandbox import peoplevox_clauses as clauses
from marketplace_returns.sandbox import peoplevox_csv as dialect
from marketplace_returns.sandbox.peoplevox_soap import (
    ENVELOPE_1_1,
    ENVELOPE_1_2,
    OPERATIONS,
    IntegrationResponse,
    SoapFaultError,
    read_call,
    write_response,
)
from marketplace_returns.sandbox.peoplevox_wsdl import write_wsdl

LONDON = ZoneInfo("Europe/London")
ROW: dict[str, dialect.Value] = {
    "Site reference": "MAIN",
    "Item code": "SKU-1",
    "Quantity": 3,
    "Is Reusable": True,
    "Return date": datetime(2026, 7, 1, 8, 30, 15, tzinfo=UTC),  # 09:30:15 in London
    "Return comments": None,
}


def test_every_value_is_quoted_and_dates_are_local_and_single_quoted_inside() -> None:
    text = dialect.render(["Item code", "Return date", "Quantity"], [["A,1", ROW["Return date"], 2]], LONDON)
    assert text == '"Item code","Return date","Quantity"\n"A,1","\'01/07/2026 09:30\'","2"\n'


def test_unquoted_and_blank_lines_of_a_request_are_read() -> None:
    assert dialect.parse("A,B\n\n 1 , 2 \r\n") == (["A", "B"], [{"A": "1", "B": "2"}])


@pytest.mark.parametrize(("text", "message"), [("", "empty"), ("A,A\n1,2", "twice"), ("A,B\n1", "row 1 has 1")])
def test_a_text_that_is_no_table_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(dialect.BadCsvError, match=message):
        dialect.parse(text)


_CELLS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).map(str.strip).filter(bool)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_CELLS, _CELLS), max_size=5))
def test_what_is_rendered_reads_back_the_same(rows: list[tuple[str, str]]) -> None:
    _, parsed = dialect.parse(dialect.render(["a", "b"], rows, LONDON))
    assert [(row["a"], row["b"]) for row in parsed] == rows


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ('([Site reference].Equals("MAIN"))', True),
        ('[Site reference] == "OTHER"', False),
        ('![Item code].Contains("KU")', False),
        ('[Item code].StartsWith("SKU") AND [Item code].EndsWith("1")', True),
        ('[Item code] == "x" OR [Quantity] >= 3 AND [Quantity] < 4', True),
        ('([Item code] == "x" OR [Quantity] >= 3) AND [Quantity] < 3', False),
        ("[Is Reusable] == True", True),
        ('[Is Reusable].Equals("False")', False),
        ("[Return date] >= DateTime(2026,07,01,09,30,15)", True),
        ("[Return date] > DateTime(2026,07,01,09,30,15)", False),
        ("[Return date] < DateTime(2026,7,1)", False),
        ('[Return date] >= "2026-07-01 09:00:00"', True),
        ('[Return comments] == ""', True),
        ('[Return comments].Contains("x")', False),
        ('[Item code] != "SKU-2"', True),
    ],
)
def test_a_clause_lets_through_what_it_says(text: str, passes: bool) -> None:
    clause = clauses.parse(text)
    assert clause is not None
    assert clauses.matches(clause, ROW, LONDON) is passes


@pytest.mark.parametrize(
    "text",
    [
        "A ==",
        'A.Nope("x")',
        "(A == 1",
        "A == 1 B",
        "A == @",
        "A == DateTime(2026,13,1)",
        "A == DateTime(2026,1)",
        "A == B",
        "A == DateTime(2026,1.5,1)",
        "A == DateTime(99999999999999999999,1,1)",
        "(" * 51 + "A == 1" + ")" * 51,
        " OR ".join(["A == 1"] * 251),
    ],
)
def test_an_unreadable_clause_is_refused(text: str) -> None:
    with pytest.raises(clauses.BadClauseError):
        clauses.parse(text)


def test_a_wrong_date_and_a_wrong_number_are_refused() -> None:
    for text in ('[Return date] == "soon"', '[Quantity] == "many"'):
        clause = clauses.parse(text)
        assert clause is not None
        with pytest.raises(clauses.BadClauseError):
            clauses.matches(clause, ROW, LONDON)


def test_index_keys_never_narrow_too_far() -> None:
    def keys(text: str) -> set[str] | None:
        return clauses.equal_keys(clauses.parse(text), "N")

    assert keys('N.Equals("a") OR N == "b"') == {"a", "b"}
    assert keys('N == "a" OR M == "b"') is None
    assert keys('N == "a" AND M == "b"') == {"a"}
    assert keys('!N == "a"') is None
    assert keys("") is None


def test_a_lower_date_bound_takes_the_earlier_reading_of_the_repeated_hour() -> None:
    clause = clauses.parse("[D] >= DateTime(2026,10,25,01,30,00) AND [D] < DateTime(2027,1,1)")
    assert clauses.lower_bound(clause, "D", LONDON) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    either = clauses.parse("[D] >= DateTime(2026,2,1) OR [D] >= DateTime(2026,1,1)")
    assert clauses.lower_bound(either, "D", LONDON) == datetime(2026, 1, 1, tzinfo=UTC)
    assert clauses.lower_bound(clauses.parse('[D] >= DateTime(2026,2,1) OR [E] == "x"'), "D", LONDON) is None


def envelope(operation: str, inner: str, version: str = ENVELOPE_1_1, header: str = "") -> bytes:
    return (
        f'<e:Envelope xmlns:e="{version}" xmlns:p="http://www.peoplevox.net/">{header}'
        f"<e:Body><p:{operation}>{inner}</p:{operation}></e:Body></e:Envelope>"
    ).encode()


GET_DATA = envelope("GetData", "<p:getRequest><p:TemplateName>Sites</p:TemplateName></p:getRequest>")
ACTION = '"http://www.peoplevox.net/GetData"'


def test_parameters_are_read_from_the_wrapper_and_the_session_header_in_either_case() -> None:
    header = (
        "<e:Header><p:UserSessionCredentials><p:UserId>0</p:UserId><p:clientId>c</p:clientId>"
        "<p:SessionId>s</p:SessionId></p:UserSessionCredentials></e:Header>"
    )
    body = envelope("GetData", "<p:getRequest><p:TemplateName>Sites</p:TemplateName></p:getRequest>", header=header)
    call = read_call(body, "text/xml", ACTION)
    assert call.arguments == {"TemplateName": "Sites"}
    assert call.session is not None
    assert (call.session.client_id, call.session.session_id) == ("c", "s")


def test_soap_1_1_needs_its_action_and_1_2_only_a_fitting_one() -> None:
    with pytest.raises(SoapFaultError, match="did not recognize the value of HTTP Header SOAPAction"):
        read_call(GET_DATA, "text/xml", None)
    newer = envelope("GetSaveTemplate", "<p:templateName>x</p:templateName>", ENVELOPE_1_2)
    assert read_call(newer, "application/soap+xml", None).operation == "GetSaveTemplate"
    with pytest.raises(SoapFaultError):
        read_call(newer, 'application/soap+xml; action="http://www.peoplevox.net/GetData"', None)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"<not xml", "text/xml", 500),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "text/xml", 500),
        (GET_DATA, "application/soap+xml", 400),
        (GET_DATA, "application/json", 415),
        (envelope("Nope", ""), "text/xml", 500),
        (f'<e:Envelope xmlns:e="{ENVELOPE_1_1}"><e:Body/></e:Envelope>'.encode(), "text/xml", 500),
    ],
)
def test_an_envelope_that_cannot_be_served_is_a_fault(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(SoapFaultError) as caught:
        read_call(body, content_type, ACTION)
    assert caught.value.http_status == status


def test_parameters_outside_the_namespace_do_not_exist() -> None:
    body = envelope("GetData", "<getRequest><TemplateName>Sites</TemplateName></getRequest>")
    assert read_call(body, "text/xml", ACTION).arguments == {}


def test_answers_stay_xml_whatever_the_detail_holds() -> None:
    call = read_call(GET_DATA, "text/xml", ACTION)
    answer = fromstring(write_response(call, IntegrationResponse(0, 1, 'a <&> "\x00b"\n', statuses=["Success"])))
    assert answer.findtext(".//{http://www.peoplevox.net/}Detail") == 'a <&> "b"\n'
    assert answer.findtext(".//{http://www.peoplevox.net/}Status") == "Success"


def test_the_wsdl_lists_exactly_the_operations_served() -> None:
    wsdl = fromstring(write_wsdl("http://localhost/x?a&b"))
    names = {element.get("name") for element in wsdl.iterfind(".//{*}portType/{*}operation")}
    assert names == set(OPERATIONS)
    assert len(wsdl.findall(".//{*}binding/{*}operation/{*}operation")) == 2 * len(OPERATIONS)
