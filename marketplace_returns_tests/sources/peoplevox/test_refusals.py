"""What the Peoplevox client makes of refusals, faults, cut answers and tenants that differ."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import (
    AuthFailed,
    BadSettings,
    ContractBroken,
    OutcomeUnknown,
    RateLimited,
    SourceRefused,
    SourceUnreachable,
)
from marketplace_returns.settings import Timing
from marketplace_returns.sources.budget import NoBudget
from marketplace_returns.sources.http import NullCallLog
from marketplace_returns.sources.peoplevox.client import PeoplevoxClient, connect
from marketplace_returns.sources.peoplevox.orders import (
    PurchaseOrder,
    PurchaseOrderItem,
    Refused,
    SalesOrder,
    SalesOrderItem,
    Saved,
)
from marketplace_returns_tests.sources.peoplevox.conftest import START, Scripted, answer_of, client_of, fault, shop

Make = Callable[..., tuple[PeoplevoxClient, Scripted]]
EXPIRED = "System : Security - Session Expired"
INVALID = "System : Security - Invalid Session"
ORDER = SalesOrder("ORDER-1-A", (SalesOrderItem("1", "SKU-1", 1),))
RECEIPT = PurchaseOrder("RTN-1", (PurchaseOrderItem("1", "SKU-1", 1),))
HEADERS = "SalesOrderNumber,Customer,CustomerPurchaseOrderReferenceNumber,ItemCode,QuantityOrdered,Line,SalePrice"
RECEIPT_HEADERS = "PurchaseOrderNumber,Status,Reference,ItemCode,Quantity,Line"
ITEMS = '"ItemCode","Name","Barcode"\n"SKU-1","Dress","5000000000001"\n'

READS: list[tuple[str, Callable[[PeoplevoxClient], object]]] = [
    ("GetReportData", lambda client: list(client.despatches(START, START + timedelta(days=1)))),
    ("GetReportData", lambda client: list(client.returns(START, START + timedelta(days=1)))),
    ("GetReportData", lambda client: list(client.stock())),
    ("GetData", lambda client: list(client.item_types())),
    ("GetData", lambda client: client.sales_orders(["1"])),
    ("GetData", lambda client: client.sales_order_items(["1"])),
    ("GetData", lambda client: client.purchase_orders(["1"])),
    ("GetData", lambda client: client.purchase_order_items(["1"])),
    ("GetSaveTemplate", lambda client: client.save_sales_orders([ORDER])),
]
WRITES: list[tuple[str, Callable[[PeoplevoxClient], object]]] = [
    (HEADERS, lambda client: client.save_sales_orders([ORDER])),
    (RECEIPT_HEADERS, lambda client: client.save_purchase_orders([RECEIPT])),
]


@pytest.mark.parametrize(("operation", "call"), READS)
def test_a_refusal_with_http_200_is_a_refusal_with_its_text(
    scripted: Make, operation: str, call: Callable[[PeoplevoxClient], object]
) -> None:
    client, _ = scripted(**{operation: [answer_of(operation, "Template is not configured", response_id=-1)]})
    with pytest.raises(SourceRefused, match="Template is not configured"):
        call(client)


@pytest.mark.parametrize(("operation", "call"), READS)
@pytest.mark.parametrize("body", ["<soap:Envelope><soap", "<html>maintenance</html>", "", '{"ok": true}'])
def test_an_unreadable_read_is_a_broken_contract(
    scripted: Make, operation: str, call: Callable[[PeoplevoxClient], object], body: str
) -> None:
    client, _ = scripted(**{operation: [httpx.Response(200, text=body)]})
    with pytest.raises(ContractBroken, match=operation):
        call(client)


@pytest.mark.parametrize(("operation", "call"), READS)
def test_a_soap_fault_on_a_read_is_told_with_its_text(
    scripted: Make, operation: str, call: Callable[[PeoplevoxClient], object]
) -> None:
    client, _ = scripted(**{operation: [fault("no such operation")]})
    with pytest.raises(ContractBroken, match="no such operation"):
        call(client)
    client, _ = scripted(**{operation: [fault("server error", status=500)]})
    with pytest.raises(SourceUnreachable):
        call(client)


@pytest.mark.parametrize("text", [EXPIRED, INVALID])
@pytest.mark.parametrize(("headers", "call"), WRITES)
def test_a_write_that_met_no_session_is_replayed_once_after_a_new_sign_in(
    scripted: Make, headers: str, call: Callable[[PeoplevoxClient], dict[str, object]], text: str
) -> None:
    client, service = scripted(
        GetSaveTemplate=[answer_of("GetSaveTemplate", headers)],
        SaveData=[answer_of("SaveData", text, response_id=-1), answer_of("SaveData", "", statuses=["Success"])],
    )
    (outcome,) = call(client).values()
    assert isinstance(outcome, Saved)
    assert service.operations.count("Authenticate") == 2
    assert service.operations.count("SaveData") == 3


def test_a_session_that_never_holds_ends_as_an_authentication_failure(scripted: Make) -> None:
    client, service = scripted(GetData=[answer_of("GetData", EXPIRED, response_id=-1)])
    with pytest.raises(AuthFailed, match="login of its own"):
        list(client.item_types())
    assert service.operations == ["Authenticate", "GetData", "Authenticate", "GetData"]


def test_a_wrong_password_names_what_to_check_and_not_the_password(scripted: Make) -> None:
    client, _ = scripted(Authenticate=[answer_of("Authenticate", "Invalid username or password", response_id=-1)])
    with pytest.raises(AuthFailed, match="username") as failure:
        list(client.item_types())
    assert "sandbox-password" not in str(failure.value)


def test_an_authentication_of_another_form_is_a_broken_contract(scripted: Make) -> None:
    client, _ = scripted(Authenticate=[answer_of("Authenticate", "only-one-part")])
    with pytest.raises(ContractBroken, match="clientId,sessionId"):
        list(client.item_types())


def test_the_password_is_base64_without_a_line_break(scripted: Make) -> None:
    client, service = scripted(GetData=[answer_of("GetData", ITEMS)])
    list(client.item_types())
    assert "<password>c2FuZGJveC1wYXNzd29yZA==</password>" in service.bodies[0]


def test_one_sign_in_serves_all_calls(scripted: Make) -> None:
    client, service = scripted(GetData=[answer_of("GetData", ITEMS)])
    for _ in range(3):
        list(client.item_types())
    assert service.operations.count("Authenticate") == 1


@pytest.mark.parametrize(("headers", "call"), WRITES)
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<soap:Envelope><soap"),
        httpx.Response(200, text=""),
        httpx.Response(502, text="bad gateway"),
        fault("could not finish"),
        fault("could not finish", status=500),
        answer_of("SaveData", "saved", statuses=[]),
        answer_of("SaveData", "saved", statuses=["Success", "Success"]),
    ],
)
def test_an_unclear_answer_to_a_save_is_unclear_and_the_save_left_once(
    scripted: Make, headers: str, call: Callable[[PeoplevoxClient], object], answer: httpx.Response
) -> None:
    client, service = scripted(GetSaveTemplate=[answer_of("GetSaveTemplate", headers)], SaveData=[answer])
    with pytest.raises(OutcomeUnknown, match=r"[Rr]ead (back|the orders back)"):
        call(client)
    assert service.operations.count("SaveData") == 1


@pytest.mark.parametrize(("headers", "call"), WRITES)
def test_a_batch_refused_as_a_whole_is_a_refusal(
    scripted: Make, headers: str, call: Callable[[PeoplevoxClient], object]
) -> None:
    client, _ = scripted(
        GetSaveTemplate=[answer_of("GetSaveTemplate", headers)],
        SaveData=[answer_of("SaveData", "No permission", response_id=-1)],
    )
    with pytest.raises(SourceRefused, match="No permission"):
        call(client)


def test_row_statuses_count_even_when_the_batch_is_called_failed(scripted: Make) -> None:
    orders = [ORDER, SalesOrder("ORDER-2-A", ORDER.items)]
    client, service = scripted(
        GetSaveTemplate=[answer_of("GetSaveTemplate", HEADERS)],
        SaveData=[
            answer_of("SaveData", "1 of 2 failed", response_id=-1, statuses=["Success", "Customer is unknown"]),
            answer_of("SaveData", "", statuses=["Success"]),
        ],
    )
    assert client.save_sales_orders(orders) == {
        "ORDER-1-A": Saved("ORDER-1-A"),
        "ORDER-2-A": Refused("ORDER-2-A", "Customer is unknown"),
    }
    assert "ORDER-2-A" not in service.bodies[-1]


def test_too_many_calls_carry_the_time_to_wait(scripted: Make) -> None:
    client, _ = scripted(
        GetSaveTemplate=[answer_of("GetSaveTemplate", HEADERS)],
        SaveData=[httpx.Response(429, headers={"Retry-After": "9"})],
    )
    with pytest.raises(RateLimited) as refusal:
        client.save_sales_orders([ORDER])
    assert refusal.value.retry_after_s == 9


def test_a_template_without_a_column_is_told_by_template_and_column(scripted: Make) -> None:
    client, service = scripted(GetSaveTemplate=[answer_of("GetSaveTemplate", "SalesOrderNumber,Customer")])
    with pytest.raises(SourceRefused, match=r"'Sales orders'.*'CustomerPurchaseOrderReferenceNumber'"):
        client.save_sales_orders([ORDER])
    assert "SaveData" not in service.operations


def test_headers_are_written_as_the_tenant_spells_them_and_asked_once(scripted: Make) -> None:
    spelt = "Sales order number,customerpurchaseorderreferencenumber,Item Code,Quantity ordered,LINE"
    client, service = scripted(
        GetSaveTemplate=[answer_of("GetSaveTemplate", spelt)],
        SaveData=[answer_of("SaveData", "", statuses=["Success"])],
    )
    for _ in range(2):
        client.save_sales_orders([ORDER])
    sent = [body for body in service.bodies if "<SaveData" in body]
    assert "Sales order number,customerpurchaseorderreferencenumber\n" in sent[0]
    assert "Sales order number,Item Code,Quantity ordered,LINE\n" in sent[1]
    assert service.operations.count("GetSaveTemplate") == 2


def test_a_missing_caption_is_told_by_report_and_caption(scripted: Make) -> None:
    client, _ = scripted(GetReportData=[answer_of("GetReportData", '"Item code","Site reference"\n')])
    with pytest.raises(ContractBroken, match=r"'Item inventory summary'.*'Available'"):
        list(client.stock())


def test_a_report_without_the_site_is_not_read_as_if_all_rows_were_ours(scripted: Make) -> None:
    client, _ = scripted(GetReportData=[answer_of("GetReportData", '"Item code","Available"\n')])
    with pytest.raises(ContractBroken, match="Site reference"):
        list(client.stock())


def test_stock_of_two_sites_is_never_one_figure() -> None:
    detail = '"Item code","Available","Site reference"\n"SKU-1","1","MAIN"\n"SKU-1","2","OTHER"\n'
    service = Scripted({"GetReportData": [answer_of("GetReportData", detail, total_count=2)]})
    client = client_of("https://wms.example", httpx.MockTransport(service), site="")
    with pytest.raises(ContractBroken, match=r"MAIN.*OTHER"):
        list(client.stock())


def test_a_page_shorter_than_promised_is_not_taken_for_the_end(scripted: Make) -> None:
    client, _ = scripted(GetData=[answer_of("GetData", ITEMS, total_count=2)])
    with pytest.raises(ContractBroken, match="1 of 2 rows"):
        list(client.item_types())


def test_the_last_page_is_not_followed_by_one_too_many(scripted: Make) -> None:
    client, service = scripted({"page_size": 1}, GetData=[answer_of("GetData", ITEMS, total_count=2)])
    assert len(list(client.item_types())) == 2
    assert service.operations.count("GetData") == 2


def test_pages_that_never_end_are_a_broken_contract(scripted: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_returns.sources.peoplevox.client.PAGES_MAX", 3)
    client, _ = scripted({"page_size": 1}, GetData=[answer_of("GetData", ITEMS, total_count=99)])
    with pytest.raises(ContractBroken, match="3 pages"):
        list(client.item_types())


def test_a_near_match_is_another_order(scripted: Make) -> None:
    detail = '"SalesOrderNumber","Status"\n"order-1-a","New"\n" ORDER-1-A ","New"\n'
    client, _ = scripted(GetData=[answer_of("GetData", detail, total_count=2)])
    assert [row["sales_order_number"] for row in client.sales_orders(["ORDER-1-A"])] == ["ORDER-1-A"]


def test_many_numbers_are_asked_a_hundred_at_a_time(scripted: Make) -> None:
    client, service = scripted(GetData=[answer_of("GetData", "", total_count=0)])
    assert client.sales_orders([str(number) for number in range(250)]) == []
    assert [body.count(".Equals(") for body in service.bodies[1:]] == [100, 100, 50]


def test_a_malformed_cell_stays_text_and_breaks_nothing(scripted: Make) -> None:
    detail = (
        '"Item code","Available","Site reference","Aisle"\n'
        '"SKU-1","lots","MAIN","A1"\n"SKU-2"\n"SKU-3","3","MAIN","A3","more"\n'
    )
    client, _ = scripted(GetReportData=[answer_of("GetReportData", detail, total_count=3)])
    (page,) = client.stock()
    assert page == [
        {"item_code": "SKU-1", "available": "lots", "site": "MAIN", "Aisle": "A1"},
        {"item_code": "SKU-2", "site": ""},
        {"item_code": "SKU-3", "available": "3", "site": "MAIN", "Aisle": "A3", "surplus": "more"},
    ]


def test_rows_alike_are_numbered_over_all_pages(scripted: Make) -> None:
    header = '"Despatch number","Salesorder number","Item code","No of items","Site reference","Despatch date"\n'
    row = '"D1","O1","SKU-1","1","MAIN","\'01/07/2026 09:03\'"\n'
    client, _ = scripted(
        {"page_size": 2},
        GetReportData=[
            answer_of("GetReportData", header, total_count=3),
            answer_of("GetReportData", header + row * 2, total_count=3),
            answer_of("GetReportData", header + row, total_count=3),
        ],
    )
    rows: list[dict[str, Any]] = [row for page in client.despatches(START, START + timedelta(days=1)) for row in page]
    assert [row["row_no"] for row in rows] == [1, 2, 3]
    assert rows[0]["despatched_at"] == "2026-07-01T08:03:00Z"


def test_a_shop_without_a_warehouse_is_told_so() -> None:
    bare = shop("https://wms.example").model_copy(update={"warehouse": None})
    with pytest.raises(BadSettings, match=r"\[warehouse\]"):
        connect(bare, timing=Timing(), budget=NoBudget(), clock=FixedClock(START), log=NullCallLog())


def test_a_host_that_cannot_be_reached_got_nothing() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(SourceUnreachable):
        client_of("https://wms.example", httpx.MockTransport(refuse)).save_sales_orders([ORDER])


DESPATCH_HEADER = '"Despatch number","Salesorder number","Item code","No of items","Site reference","Despatch date"\n'


@pytest.mark.proves("R106")
def test_a_table_that_loses_rows_while_it_is_read_is_read_again_from_the_start(scripted: Make) -> None:
    rows = [f'"SKU-{number}","Item","1"\n' for number in range(3)]
    header = '"ItemCode","Name","Barcode"\n'
    client, service = scripted(
        {"page_size": 1},
        GetData=[
            answer_of("GetData", header + rows[0], total_count=3),
            # SKU-0 is gone: SKU-1 moved onto the first page, and the second one is SKU-2.
            answer_of("GetData", header + rows[2], total_count=2),
            answer_of("GetData", header + rows[1], total_count=2),
            answer_of("GetData", header + rows[2], total_count=2),
        ],
    )
    read = [row["item_code"] for page in client.item_types() for row in page]
    assert read == ["SKU-0", "SKU-1", "SKU-2"]
    assert service.operations.count("GetData") == 4


def test_a_table_that_loses_rows_at_every_reading_is_told(scripted: Make) -> None:
    header = '"ItemCode"\n"SKU-0"\n'
    answers = [answer_of("GetData", header, total_count=count) for count in (9, 8, 7, 6, 5, 4)]
    client, _ = scripted({"page_size": 1}, GetData=answers)
    with pytest.raises(ContractBroken, match="lost rows in each of 3 readings"):
        list(client.item_types())


def test_page_size_zero_asks_for_everything_at_once(scripted: Make) -> None:
    client, service = scripted({"page_size": 0}, GetData=[answer_of("GetData", ITEMS * 2, total_count=3)])
    (page,) = client.item_types()
    assert len(page) == 3
    assert "<ItemsPerPage>0<" in service.bodies[-1]


@pytest.mark.proves("R106")
def test_the_second_row_of_a_parcel_keeps_its_number_when_the_window_begins_between_the_two(scripted: Make) -> None:
    def row(minute: int) -> str:
        return f'"D1","O1","SKU-1","1","MAIN","\'01/07/2026 12:{minute:02}\'"\n'

    client, service = scripted(
        GetReportData=[
            answer_of("GetReportData", DESPATCH_HEADER, total_count=2),
            answer_of("GetReportData", DESPATCH_HEADER + row(3) + row(30), total_count=2),
        ]
    )
    since = datetime(2026, 7, 1, 12, 10, tzinfo=UTC)  # 13:10 in London: the second row lies within the hour before
    (page,) = client.despatches(since, since + timedelta(hours=1))
    assert [(found["row_no"], found["despatched_at"]) for found in page] == [(2, "2026-07-01T11:30:00Z")]
    assert "DateTime(2026,06,30,13,10,00)" in service.bodies[-1]


@pytest.mark.proves("R83")
def test_several_sites_are_asked_for_together_and_kept_apart(scripted: Make) -> None:
    detail = '"Item code","Available","Site reference"\n"SKU-1","1","MAIN"\n"SKU-1","2","NORTH"\n'
    client, service = scripted(
        {"site": ["MAIN", "NORTH"]}, GetReportData=[answer_of("GetReportData", detail, total_count=2)]
    )
    (page,) = client.stock()
    assert [(row["site"], row["available"]) for row in page] == [("MAIN", "1"), ("NORTH", "2")]
    assert '[Site reference].Equals("MAIN") OR [Site reference].Equals("NORTH")' in service.bodies[-1]


def test_a_stock_row_of_no_site_is_not_added_to_the_site_that_is_set(scripted: Make) -> None:
    header = '"Item code","Site reference","Available","On hand"\n'
    rows = '"SKU-1","MAIN","5","5"\n"SKU-1","","5","5"\n'
    client, _ = scripted({"site": "MAIN"}, GetReportData=[answer_of("GetReportData", header + rows, total_count=2)])
    (page,) = client.stock()
    assert [row["site"] for row in page] == ["MAIN", ""], "the lake sets the second aside"
