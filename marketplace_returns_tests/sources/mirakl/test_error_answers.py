"""Every operation against answers that went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from marketplace_returns.errors import BadArgument, ContractBroken, OutcomeUnknown, SourceError, SourceRefused
from marketplace_returns.sources.mirakl.client import MiraklClient
from marketplace_returns.sources.mirakl.results import ItemState

from .conftest import START, client_for

UNTIL = START + timedelta(days=1)
REFUND = {"refunds": [{"order_line_id": "L1", "amount": Decimal("1.00"), "shipping_amount": 0, "reason_code": "17"}]}
STOCK = [{"offer_sku": "S1", "quantity": 3}]
Call = Callable[[MiraklClient], object]


def all_of(pages: Callable[[MiraklClient], Iterable[object]]) -> Call:
    return lambda client: list(pages(client))


READS: dict[str, Call] = {
    "A01": lambda client: client.account(),
    "PC01": lambda client: client.platform_configuration(),
    "RE01": lambda client: client.reasons(),
    "SH21": lambda client: client.carriers(),
    "OR11": all_of(lambda client: client.orders(START, UNTIL)),
    "OR11 by state": all_of(lambda client: client.orders_in_state("SHIPPING")),
    "OR11 by id": all_of(lambda client: client.orders_by_id(["1"])),
    "OR13": all_of(lambda client: client.orders_export(START, UNTIL)),
    "ST11": all_of(lambda client: client.shipments(["1"])),
    "RT11": all_of(lambda client: client.returns(START, UNTIL)),
    "RT11 by id": all_of(lambda client: client.returns_by_id(["1"])),
    "OF21": all_of(lambda client: client.offers()),
    "STO02": lambda client: client.stock_import_status("1"),
    "TL02": all_of(lambda client: client.transactions(START, UNTIL)),
    "TL03": all_of(lambda client: client.transactions_export(START, UNTIL)),
    "SBC11": all_of(lambda client: client.billing_cycles(START, UNTIL)),
    "IV01": all_of(lambda client: client.invoices(START, UNTIL)),
}
WRITES: dict[str, Call] = {
    "OR21": lambda client: client.accept_order("1", [{"id": "L1", "accepted": True}]),
    "OR23": lambda client: client.set_tracking("1", carrier_code="DPD", tracking_number="T1"),
    "OR24": lambda client: client.ship_order("1"),
    "OR28": lambda client: client.refund(REFUND),
    "OR29": lambda client: client.cancel_order("1"),
    "OR30": lambda client: client.cancel_lines({"cancelations": []}),
    "OR64": lambda client: client.resolve_incident("1", "L1", "10"),
    "ST01": lambda client: client.create_shipments([{"order_id": "1", "shipment_lines": []}]),
    "ST24": lambda client: client.ship_shipments(["1"]),
    "RT04": lambda client: client.patch_returns([{"id": "1", "rma": "R"}]),
    "RT21": lambda client: client.accept_returns([{"id": "1", "accepted": True}]),
    "RT25": lambda client: client.receive_returns(["1"]),
    "RT26": lambda client: client.report_compliance([{"id": "1", "return_lines": []}]),
    "RT27": lambda client: client.close_returns(["1"]),
    "STO01": lambda client: client.import_stock(STOCK),
}
WRITES_WITHOUT_ANSWER = {"OR21", "OR23", "OR24", "OR29", "OR64"}
by_operation = pytest.mark.parametrize("operation", [*READS, "STO03", *WRITES])


def answered_by(*responses: httpx.Response) -> tuple[MiraklClient, list[httpx.Request]]:
    """A client whose calls get these answers in turn, the last one for ever; and the requests that were made."""
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        given = responses[min(len(requests), len(responses)) - 1]
        return httpx.Response(given.status_code, headers=given.headers, content=given.content)

    return client_for("http://127.0.0.1:9/mirakl", transport=httpx.MockTransport(handler)), requests


def code_of(operation: str) -> str:
    return operation.partition(" ")[0]


def call(operation: str, client: MiraklClient) -> object:
    if operation == "STO03":
        return client.stock_import_errors("1")
    return (READS | WRITES)[operation](client)


@by_operation
def test_a_refusal_names_its_operation_and_is_not_repeated(operation: str) -> None:
    client, requests = answered_by(httpx.Response(400, json={"message": "not in this state", "status": 400}))
    with pytest.raises(SourceRefused, match="not in this state") as caught:
        call(operation, client)
    assert caught.value.operation == code_of(operation)
    assert len(requests) == 1


@by_operation
def test_every_call_names_the_shop_and_carries_the_bare_key(operation: str) -> None:
    client, requests = answered_by(httpx.Response(404, json={"message": "no", "status": 404}))
    with pytest.raises(SourceRefused):
        call(operation, client)
    assert requests[0].url.params["shop_id"] == "2001"
    assert requests[0].headers["Authorization"] == "sandbox-mirakl-key"


KEPT_AS_THEY_COME = {"A01", "PC01"}  # whatever fields these have
OTHER_FORMS = [b"<html>", b"[]", b"", b'{"unexpected": 1}', b'{"orders": 1, "data": [1], "status": 5}']


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (operation, body)
        for operation in READS
        for body in OTHER_FORMS
        if not (operation in KEPT_AS_THEY_COME and body.startswith(b"{"))
    ],
)
def test_a_read_of_another_form_is_a_broken_contract(operation: str, body: bytes) -> None:
    client, _ = answered_by(httpx.Response(200, content=body))
    with pytest.raises(ContractBroken) as caught:
        call(operation, client)
    assert caught.value.operation == code_of(operation)
    assert caught.value.request_id


@pytest.mark.parametrize("operation", sorted(set(WRITES) - WRITES_WITHOUT_ANSWER))
@pytest.mark.parametrize("body", [b"", b"[]", b'{"unexpected": 1}', b'{"refunds": [{}], "cancelations": [{}]}'])
def test_a_write_whose_answer_does_not_say_what_was_done_is_unclear(operation: str, body: bytes) -> None:
    client, requests = answered_by(httpx.Response(200, content=body))
    try:
        result = call(operation, client)
    except OutcomeUnknown as unclear:
        assert unclear.operation == operation  # noqa: PT017 - either form of "unclear" will do
    else:
        assert isinstance(result, dict)
        assert {outcome.state for outcome in result.values()} == {ItemState.UNCLEAR}
    assert len(requests) == 1


@pytest.mark.parametrize("operation", WRITES)
def test_a_write_is_sent_once_whatever_happens(operation: str) -> None:
    client, requests = answered_by(httpx.Response(503, text="down"))
    with pytest.raises(OutcomeUnknown):
        call(operation, client)
    assert len(requests) == 1


def test_a_partial_success_is_told_item_by_item() -> None:
    body = {
        "return_success": [{"id": "a"}, {"id": "c"}, {"id": "foreign"}],
        "return_errors": [{"id": "b", "message": "Return is in invalid state of jane@example.test"}, {"id": "c"}],
    }
    client, _ = answered_by(httpx.Response(200, json=body))
    outcomes = client.close_returns(["a", "b", "c", "d"])
    assert [(item, outcome.state) for item, outcome in outcomes.items()] == [
        ("a", ItemState.DONE),
        ("b", ItemState.REFUSED),
        ("c", ItemState.UNCLEAR),
        ("d", ItemState.UNCLEAR),
    ]
    assert outcomes["b"].message == "Return is in invalid state of [hidden]"


def test_a_refund_answer_for_another_line_is_unclear() -> None:
    client, _ = answered_by(httpx.Response(200, json={"refunds": [{"order_line_id": "L9", "refund_id": "1"}]}))
    with pytest.raises(OutcomeUnknown, match="other lines"):
        client.refund(REFUND)


def test_a_refund_leaves_as_exact_numbers() -> None:
    client, requests = answered_by(httpx.Response(200, json={"refunds": [{"order_line_id": "L1", "refund_id": 7}]}))
    (made,) = client.refund(REFUND)
    assert b'"amount":1.00' in requests[0].content
    assert made.refund_id == "7"


def test_ids_never_name_another_path() -> None:
    client, requests = answered_by(httpx.Response(204))
    client.ship_order("a/b?c")
    assert requests[0].url.raw_path.startswith(b"/mirakl/api/orders/a%2Fb%3Fc/ship?")
    with pytest.raises(BadArgument):
        client.ship_order("")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "send 1 to"),
        ([{"offer_sku": "S", "quantity": 1}, {"offer_sku": "S", "quantity": 2}], "S comes twice"),
        ([{"offer_sku": "S", "quantity": -1}], "at least 0"),
        ([{"offer_sku": "S", "quantity": 1.5}], "whole number"),
    ],
)
def test_a_stock_file_that_makes_no_sense_never_leaves(rows: list[dict[str, object]], reason: str) -> None:
    client, requests = answered_by(httpx.Response(201, json={"import_id": "1"}))
    with pytest.raises(BadArgument, match=reason):
        client.import_stock(rows)
    assert requests == []


@pytest.mark.parametrize("body", [b"line;reason\n1;x\n", b"\xff\xfe", b"1;reason;S1\nnext;reason;S2\n"])
def test_a_stock_error_report_of_another_form_is_a_broken_contract(body: bytes) -> None:
    client, _ = answered_by(httpx.Response(200, content=body))
    with pytest.raises(ContractBroken):
        client.stock_import_errors("1")


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_an_export_that_ends_badly_is_asked_for_again_next_time(state: str) -> None:
    client, requests = answered_by(
        httpx.Response(200, json={"tracking_id": "x"}), httpx.Response(200, json={"status": state, "urls": []})
    )
    with pytest.raises(SourceError, match=state):
        list(client.orders_export(START, UNTIL))
    assert len(requests) == 2


@pytest.mark.parametrize("state", ["BRAND_NEW", ["COMPLETED"], {"code": "COMPLETED"}, None, 7])
def test_an_export_with_a_status_nobody_knows_is_a_broken_contract(state: object) -> None:
    client, _ = answered_by(
        httpx.Response(200, json={"tracking_id": "x"}), httpx.Response(200, json={"status": state, "urls": []})
    )
    with pytest.raises(ContractBroken, match="status"):
        list(client.orders_export(START, UNTIL))


def test_an_export_that_never_ends_is_given_up() -> None:
    client, requests = answered_by(
        httpx.Response(200, json={"tracking_id": "x"}), httpx.Response(200, json={"status": "PENDING"})
    )
    with pytest.raises(SourceError, match="not ready"):
        list(client.transactions_export(START, UNTIL))
    assert len(requests) < 60


def test_an_export_in_lines_is_read_and_foreign_hosts_never_see_the_key() -> None:
    client, requests = answered_by(
        httpx.Response(200, json={"tracking_id": "x"}),
        httpx.Response(200, json={"status": "COMPLETED", "urls": ["https://files.invalid/1"]}),
        httpx.Response(200, content=b'{"id": 1}\n\n{"id": 2}\n', headers={"Content-Type": "application/x-ndjson"}),
    )
    assert list(client.transactions_export(START, UNTIL)) == [[{"id": 1}, {"id": 2}]]
    assert "Authorization" not in requests[-1].headers


@pytest.mark.proves("R104")
def test_no_call_updates_offers_as_a_whole() -> None:
    """OF24 resets what its file leaves out; stock goes by STO01 alone."""
    for operation in (*READS, "STO03", *WRITES):
        client, requests = answered_by(httpx.Response(404, json={"message": "no", "status": 404}))
        with pytest.raises(SourceRefused):
            call(operation, client)
        assert not [
            request.url for request in requests if request.method != "GET" and request.url.path.endswith("/offers")
        ], operation


DEEP = b"[" * 5_000 + b"]" * 5_000


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize(
    "body", [b'{"data": ' + DEEP + b"}", b"\xef\xbb\xbf{}", b'{"orders": NaN}'], ids=["deep", "BOM", "NaN"]
)
def test_a_read_that_cannot_be_decoded_is_a_broken_contract(operation: str, body: bytes) -> None:
    client, _ = answered_by(httpx.Response(200, content=body))
    with pytest.raises(ContractBroken):
        READS[operation](client)


@pytest.mark.parametrize("row", [{}, {"quantity": None}, {"quantity": "5"}, {"quantity": [5]}, {"quantity": True}])
def test_an_offer_without_a_whole_quantity_is_a_broken_contract(row: dict[str, object]) -> None:
    client, _ = answered_by(httpx.Response(200, json={"offers": [{"shop_sku": "S1", **row}]}))
    with pytest.raises(ContractBroken, match="S1"):
        client.offer_quantities(["S1"])


@pytest.mark.parametrize("told", ["2026-13-45", "2026-10-02T10:00:00", 7, None, "0001-01-01T00:00:00Z"])
def test_a_ledger_line_without_an_instant_does_not_end_the_reading(told: object) -> None:
    page = {"data": [{"id": "1", "last_updated": told}]}
    client, _ = answered_by(httpx.Response(200, json=page))
    assert [row for found in client.transactions(START, UNTIL) for row in found] == page["data"]


@pytest.mark.parametrize("url", ["", "x", "ftp://files.test/1", "http://", "http://[::1", 7])
def test_an_export_whose_file_has_no_address_is_a_broken_contract(url: object) -> None:
    client, _ = answered_by(
        httpx.Response(200, json={"tracking_id": "t"}), httpx.Response(200, json={"status": "COMPLETED", "urls": [url]})
    )
    with pytest.raises(ContractBroken, match="urls"):
        list(client.orders_export(START, UNTIL))
