"""The Peoplevox face over HTTP: sessions, reads, imports, events, and every refusal and quirk once."""

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element, fromstring
from xml.sax.saxutils import escape

import httpx
import pytest

from marketplace_returns.sandbox import peoplevox
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.sandbox.peoplevox_csv import parse
from marketplace_returns.sandbox.peoplevox_soap import ENVELOPE_1_1, ENVELOPE_1_2, OPERATIONS
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)  # 09:00 in London
P = "{http://www.peoplevox.net/}"
AN_EMPTY_LOG_IN = (
    f'<e:Envelope xmlns:e="{ENVELOPE_1_2}"><e:Body><a:Authenticate xmlns:a="{P[1:-1]}"/></e:Body></e:Envelope>'
)


@dataclass
class Answer:
    """What the service answered: HTTP status, ResponseId, TotalCount, Detail and row statuses."""

    status: int
    response_id: int
    total_count: int
    detail: str
    statuses: list[str]

    @property
    def rows(self) -> list[dict[str, str]]:
        return parse(self.detail)[1]


class Tenant:
    """A client of the tests' own: plain envelopes, one session."""

    def __init__(self, sandbox: RunningSandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.config = sandbox.world.config
        self.http = http
        self.path = f"/peoplevox/{self.config.warehouse_client_id}/resources/integrationservicev4.asmx"
        self.session_id = ""

    def post(self, operation: str, version: str = ENVELOPE_1_1, **arguments: object) -> tuple[int, Element]:
        wrapper, _ = OPERATIONS[operation]
        inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in arguments.items())
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
        header = (
            f'<UserSessionCredentials xmlns="http://www.peoplevox.net/"><UserId>0</UserId>'
            f"<ClientId>{self.config.warehouse_client_id}</ClientId><SessionId>{self.session_id}</SessionId>"
            "</UserSessionCredentials>"
        )
        body = (
            f'<e:Envelope xmlns:e="{version}"><e:Header>{header}</e:Header><e:Body>'
            f'<{operation} xmlns="http://www.peoplevox.net/">{inner}</{operation}></e:Body></e:Envelope>'
        )
        headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
        if version == ENVELOPE_1_1:
            headers = {"Content-Type": "text/xml", "SOAPAction": f'"http://www.peoplevox.net/{operation}"'}
        response = self.http.post(self.path, content=body.encode(), headers=headers)
        return response.status_code, fromstring(response.content)

    def call(self, operation: str, version: str = ENVELOPE_1_1, **arguments: object) -> Answer:
        status, envelope = self.post(operation, version, **arguments)
        result = envelope.find(f".//{P}{operation}Result")
        assert result is not None
        return Answer(
            status,
            int(result.findtext(f"{P}ResponseId", "")),
            int(result.findtext(f"{P}TotalCount", "")),
            result.findtext(f"{P}Detail", ""),
            [element.text or "" for element in result.iter(f"{P}Status")],
        )

    def log_in(self, version: str = ENVELOPE_1_1, **changes: str) -> Answer:
        config = self.config
        password = base64.b64encode(config.warehouse_password.encode()).decode()
        arguments = {
            "clientId": config.warehouse_client_id,
            "username": config.warehouse_username,
            "password": password,
        }
        answer = self.call("Authenticate", version, **(arguments | changes))
        if answer.response_id == 0:
            self.session_id = answer.detail.split(",")[1]
        return answer

    def save(self, template: str, csv: str, action: int = 0) -> Answer:
        return self.call("SaveData", TemplateName=template, CsvData=csv, Action=action)

    def report(self, name: str, **arguments: object) -> Answer:
        return self.call("GetReportData", TemplateName=name, **arguments)


Start = Callable[..., Tenant]


@pytest.fixture
def a_tenant() -> Iterator[Start]:
    """Starts sandboxes with changes to the config and signs in to each."""
    with ExitStack() as stack:

        def start(**changes: object) -> Tenant:
            config = WorldConfig(start=START, orders=1, skus=5, **changes)  # type: ignore[arg-type]
            sandbox = stack.enter_context(running_sandbox(config))
            tenant = Tenant(sandbox, stack.enter_context(httpx.Client(base_url=sandbox.base_url, timeout=10)))
            tenant.log_in()
            return tenant

        yield start


@pytest.fixture
def tenant(a_tenant: Start) -> Tenant:
    return a_tenant()


def skus(tenant: Tenant) -> list[str]:
    return list(tenant.sandbox.world.products)


def import_order(tenant: Tenant, number: str = "W-1", *quantities: int) -> None:
    assert tenant.save("Sales orders", f"SalesOrderNumber,Customer\n{number},Marketplace").statuses == ["Success"]
    lines = [f"{number},{skus(tenant)[at]},{quantity},{at + 1}" for at, quantity in enumerate(quantities or (1,))]
    answer = tenant.save("Sales order items", "SalesOrderNumber,ItemCode,QuantityOrdered,Line\n" + "\n".join(lines))
    assert set(answer.statuses) == {"Success"}


# -- sessions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ENVELOPE_1_1, ENVELOPE_1_2])
def test_a_session_serves_both_soap_versions(tenant: Tenant, version: str) -> None:
    answer = tenant.log_in(version)
    assert (answer.response_id, answer.total_count) == (0, 1)
    assert answer.detail.startswith(tenant.config.warehouse_client_id + ",")
    assert tenant.call("GetData", version, TemplateName="Sites").rows == [{"Name": "MAIN", "Reference": "MAIN"}]


@pytest.mark.parametrize("changes", [{"password": "sandbox-password"}, {"username": "x"}, {"clientId": "other"}])
def test_a_wrong_or_unencoded_password_is_minus_one(tenant: Tenant, changes: dict[str, str]) -> None:
    answer = tenant.log_in(**changes)
    assert (answer.status, answer.response_id, answer.total_count) == (200, -1, 0)
    assert "Security" in answer.detail


def test_thirty_idle_minutes_end_a_session_and_a_call_prolongs_it(tenant: Tenant) -> None:
    for _ in range(2):
        tenant.sandbox.advance(timedelta(minutes=29))
        assert tenant.call("GetData", TemplateName="Sites").response_id == 0
    tenant.sandbox.advance(timedelta(minutes=30))
    answer = tenant.call("GetData", TemplateName="Sites")
    assert (answer.status, answer.response_id, answer.detail) == (200, -1, "System : Security - Session Expired")


def test_an_unknown_session_is_invalid(tenant: Tenant) -> None:
    tenant.session_id = "nobody"
    assert tenant.call("GetData", TemplateName="Sites").detail == "System : Security - Invalid Session"


def test_a_session_that_a_fault_ends_is_gone_for_good(tenant: Tenant) -> None:
    tenant.sandbox.add_fault(FaultRule("session_expired", system="peoplevox", operation="GetData", times=1))
    assert tenant.call("GetData", TemplateName="Sites").detail == "System : Security - Session Expired"
    assert tenant.call("GetData", TemplateName="Sites").detail == "System : Security - Invalid Session"
    tenant.log_in()
    assert tenant.call("GetData", TemplateName="Sites").response_id == 0


def test_a_bad_envelope_is_a_fault_and_not_an_answer(tenant: Tenant) -> None:
    response = tenant.http.post(tenant.path, content=b"<no", headers={"Content-Type": "text/xml"})
    assert response.status_code == 500
    assert b"soap:Fault" in response.content
    status, envelope = tenant.post("GetData", ENVELOPE_1_2, TemplateName="Sites", PageNo="one")
    assert status == 500
    assert envelope.find(".//{*}Fault") is not None


def test_the_wsdl_names_its_own_address(tenant: Tenant) -> None:
    response = tenant.http.get(tenant.path + "?wsdl")
    assert response.status_code == 200
    assert f"{tenant.sandbox.base_url}{tenant.path}" in response.text
    assert tenant.http.get(tenant.path).status_code == 404


def test_the_sixteenth_call_in_fifteen_seconds_waits_when_frequencies_are_strict(a_tenant: Start) -> None:
    tenant = a_tenant(strict_frequency=True)
    for _ in range(14):  # the log-in was the first
        assert tenant.call("GetData", TemplateName="Sites").response_id == 0
    refused = tenant.http.post(
        tenant.path,
        content=AN_EMPTY_LOG_IN,
        headers={"Content-Type": "application/soap+xml"},
    )
    assert refused.status_code == 429
    tenant.sandbox.advance(timedelta(seconds=int(refused.headers["Retry-After"])))
    assert tenant.call("GetData", TemplateName="Sites").response_id == 0


# -- reads -------------------------------------------------------------------------------------------------------------


def test_paging_counts_from_one_and_zero_is_everything(tenant: Tenant) -> None:
    def page(number: int, size: int) -> Answer:
        return tenant.call("GetData", TemplateName="Item types", PageNo=number, ItemsPerPage=size)

    codes = [row["ItemCode"] for number in (1, 2, 3) for row in page(number, 2).rows]
    assert codes == skus(tenant)
    assert (page(3, 2).total_count, page(4, 2).rows) == (5, [])
    assert len(page(1, 0).rows) == 5
    assert page(0, 2).response_id == -1


def test_an_unknown_template_report_column_or_clause_is_refused_with_a_text(tenant: Tenant) -> None:
    for answer in (
        tenant.call("GetData", TemplateName="Returns"),
        tenant.report("Sites"),
        tenant.call("GetSaveTemplate", templateName="Returns"),
        tenant.call("GetData", TemplateName="Sites", SearchClause='Nope == "x"'),
        tenant.call("GetData", TemplateName="Sites", SearchClause="Name =="),
        tenant.report("Item inventory summary", Columns="[Nope]"),
        tenant.report("Item inventory summary", OrderBy="[Nope] asc"),
        tenant.report("Item inventory summary", FilterClause='[Available] == "many"'),
        tenant.report("Despatch summary", SearchClause='[Despatch date] >= "soon"'),
    ):
        assert (answer.status, answer.response_id) == (200, -1)
        assert answer.detail


def test_a_sales_order_is_found_by_its_number(tenant: Tenant) -> None:
    import_order(tenant, "W-1")
    import_order(tenant, "W-2")
    answer = tenant.call("GetData", TemplateName="Sales orders", SearchClause='SalesOrderNumber.Equals("W-2")')
    assert [(row["SalesOrderNumber"], row["Status"], row["Site"]) for row in answer.rows] == [("W-2", "New", "MAIN")]
    assert answer.rows[0]["CreatedDate"] == "'01/07/2026 09:00'"
    either = 'SalesOrderNumber == "W-1" OR SalesOrderNumber == "W-9"'
    items = tenant.call("GetData", TemplateName="Sales order items", SearchClause=either)
    assert [(row["SalesOrderNumber"], row["QuantityOrdered"]) for row in items.rows] == [("W-1", "1")]


def test_sites_filter_keeps_only_the_tenants_site(tenant: Tenant) -> None:
    def count(site: str) -> int:
        sites_filter = f'Site.Reference = "{site}"'
        answer = tenant.call("GetDataWithSitesFilters", TemplateName="Item types", SitesFilter=sites_filter)
        return answer.total_count

    assert (count("MAIN"), count("OTHER")) == (5, 0)
    assert tenant.call("GetDataWithSitesFilters", TemplateName="Sites", SitesFilter='X = "1"').response_id == -1


def test_stock_is_on_hand_less_what_orders_allocate_and_can_be_chosen_and_sorted(tenant: Tenant) -> None:
    code = skus(tenant)[0]
    before = {row["Item code"]: int(row["Available"]) for row in tenant.report("Item inventory summary").rows}
    import_order(tenant, "W-1", 3)
    answer = tenant.report(
        "Item inventory summary",
        Columns="[Item code],[Available]",
        FilterClause=f'([Site reference].Equals("MAIN")) AND ([Item code].Equals("{code}"))',
    )
    assert answer.rows == [{"Item code": code, "Available": str(before[code] - 3)}]
    ordered = tenant.report("Item inventory summary", Columns="Available", OrderBy="[Available] desc").rows
    amounts = [int(row["Available"]) for row in ordered]
    assert amounts == sorted(amounts, reverse=True)


def test_a_report_clause_without_brackets_silently_does_nothing(tenant: Tenant) -> None:
    answer = tenant.report("Item inventory summary", FilterClause='Available == "0"')
    assert answer.total_count == 5


def test_a_despatch_appears_with_carrier_tracking_and_local_date(tenant: Tenant) -> None:
    import_order(tenant, "W-1", 2)
    tenant.sandbox.advance(timedelta(days=3))
    tenant.log_in()
    rows = tenant.report("Despatch summary", SearchClause="[Despatch date] >= DateTime(2026,07,01,09,00,00)").rows
    assert {row["Salesorder number"] for row in rows} == {"W-1"}
    assert sum(int(row["No of items"]) for row in rows) == 2
    assert all(row["Tracking number"] and row["Carrier"] and row["Despatch date"].startswith("'") for row in rows)
    later = tenant.report("Despatch summary", SearchClause="[Despatch date] > DateTime(2026,07,05)")
    assert (later.total_count, later.detail.count("\n")) == (0, 1)
    status = tenant.report("Sales order summary", SearchClause='[Sales order no.].Equals("W-1")').rows[0]["Status"]
    assert status == "Despatched"


def test_an_inspected_return_is_one_row_with_its_reusable_flag(tenant: Tenant) -> None:
    code = skus(tenant)[0]
    import_order(tenant, "W-1")
    warehouse = tenant.sandbox.world.warehouse
    tenant.sandbox.do(lambda: warehouse.record_return("W-1", code, 1, "damaged", "Too big", None, None))
    (row,) = tenant.report("Return summary", SearchClause='[Sales order number].Equals("W-1")').rows
    assert (row["Item code"], row["Quantity"], row["Is Reusable"], row["Return condition"]) == (
        code,
        "1",
        "False",
        "Damaged",
    )
    assert (row["Return code"], row["Return date"]) == ("RET1", "'01/07/2026 09:00'")


def test_a_malformed_row_is_one_cell_short(tenant: Tenant) -> None:
    tenant.sandbox.add_fault(FaultRule("malformed_row", system="peoplevox", times=1))
    broken = tenant.call("GetData", TemplateName="Sites")
    assert (broken.total_count, broken.detail) == (1, '"Name","Reference"\n"MAIN"\n')
    assert tenant.call("GetData", TemplateName="Sites").rows == [{"Name": "MAIN", "Reference": "MAIN"}]


def test_every_template_and_report_can_be_read_whole(tenant: Tenant) -> None:
    import_order(tenant, "W-1")
    warehouse = tenant.sandbox.world.warehouse
    tenant.sandbox.do(lambda: warehouse.take_delivery(skus(tenant)[0], 5))
    for name in peoplevox.TEMPLATES:
        assert tenant.call("GetData", TemplateName=name).response_id == 0
    for name in peoplevox.REPORTS:
        assert tenant.report(name).response_id == 0
    assert tenant.report("Goods in summary").rows[-1]["Quantity"] == "5"


def test_renamed_captions_show_in_answers_and_are_understood_in_clauses(a_tenant: Start) -> None:
    tenant = a_tenant(
        renamed_captions=(
            ("Item inventory summary", "Item code", "Item Code"),
            ("Sales orders", "ChannelName", "Reference 2"),
        )
    )
    code = skus(tenant)[0]
    answer = tenant.report(
        "Item inventory summary", SearchClause=f'[Item Code].Equals("{code}")', Columns="[Item Code]"
    )
    assert answer.rows == [{"Item Code": code}]
    assert "Reference 2" in tenant.call("GetSaveTemplate", templateName="Sales orders").detail.split(",")
    assert tenant.save("Sales orders", "SalesOrderNumber,ChannelName\nW-1,ASOS").response_id == -1
    assert tenant.save("Sales orders", "SalesOrderNumber,Reference 2\nW-1,ASOS").statuses == ["Success"]
    assert tenant.call("GetData", TemplateName="Sales orders").rows[0]["Reference 2"] == "ASOS"


# -- imports -----------------------------------------------------------------------------------------------------------


def test_saving_the_same_order_again_updates_it_and_never_doubles_it(tenant: Tenant) -> None:
    for customer in ("First", "Second"):
        tenant.save("Sales orders", f"SalesOrderNumber,Customer\nW-1,{customer}")
        tenant.save("Sales order items", f"SalesOrderNumber,ItemCode,QuantityOrdered,Line\nW-1,{skus(tenant)[0]},2,1")
    orders = tenant.call("GetData", TemplateName="Sales orders")
    assert [row["Customer"] for row in orders.rows] == ["Second"]
    stock = tenant.report("Item inventory summary", SearchClause=f'[Item code].Equals("{skus(tenant)[0]}")')
    assert (tenant.call("GetData", TemplateName="Sales order items").total_count, stock.rows[0]["Allocated"]) == (
        1,
        "2",
    )


def test_a_batch_can_be_half_accepted(tenant: Tenant) -> None:
    import_order(tenant, "W-1")
    code = skus(tenant)[1]
    answer = tenant.save(
        "Sales order items",
        "SalesOrderNumber,ItemCode,QuantityOrdered,Line\n"
        f"W-1,{code},1,7\nW-1,NOPE,1,8\nW-1,{code},1,7\nW-1,{code},none,9\nW-9,{code},1,1",
    )
    assert (answer.response_id, answer.total_count, answer.statuses[0]) == (0, 1, "Success")
    refused = answer.statuses[1:]
    assert ["NOPE" in refused[0], "Duplicate" in refused[1], "QuantityOrdered" in refused[2], "W-9" in refused[3]] == [
        True
    ] * 4


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("SalesOrderNumber,Colour\nW-1,red", "Colour"),
        ("Customer\nSomeone", "SalesOrderNumber"),
        ("", "empty"),
        ("SalesOrderNumber,Customer\nW-1,a,b", "row 1"),
    ],
)
def test_a_bad_header_or_a_broken_table_refuses_the_whole_batch(tenant: Tenant, csv: str, message: str) -> None:
    answer = tenant.save("Sales orders", csv)
    assert (answer.status, answer.response_id, answer.statuses) == (200, -1, [])
    assert message in answer.detail
    assert tenant.call("GetData", TemplateName="Sales orders").total_count == 0


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Customer", "c" * 51),
        ("ShippingAddressLine1", "a" * 101),
        ("RequestedDeliveryDate", "01/07/2026 09:00"),
        ("TotalSale", "12,50"),
        ("Status", "Despatched"),
    ],
)
def test_a_row_the_template_does_not_allow_is_refused_by_itself(tenant: Tenant, header: str, value: str) -> None:
    answer = tenant.save("Sales orders", f'"SalesOrderNumber","{header}"\n"W-1","{value}"\n"W-2",""')
    assert answer.statuses[1] == "Success"
    assert header in answer.statuses[0]


def test_action_one_holds_lines_back_until_they_are_saved_for_picking(tenant: Tenant) -> None:
    tenant.save("Sales orders", "SalesOrderNumber\nW-1")
    lines = f"SalesOrderNumber,ItemCode,QuantityOrdered,Line\nW-1,{skus(tenant)[0]},1,1"

    def despatched_after_three_days() -> int:
        tenant.sandbox.advance(timedelta(days=3))
        tenant.log_in()
        return tenant.report("Despatch summary").total_count

    assert tenant.save("Sales order items", lines, action=1).statuses == ["Success"]
    assert despatched_after_three_days() == 0
    assert tenant.save("Sales order items", lines).statuses == ["Success"]
    assert despatched_after_three_days() == 1
    assert "already despatched" in tenant.save("Sales orders", "SalesOrderNumber\nW-1", action=2).statuses[0]


def test_action_two_cancels_what_has_not_left_and_frees_its_stock(tenant: Tenant) -> None:
    import_order(tenant, "W-1")
    answer = tenant.save("Sales orders", "SalesOrderNumber\nW-1\nW-9", action=2)
    assert answer.statuses[0] == "Success"
    assert "W-9" in answer.statuses[1]
    assert tenant.call("GetData", TemplateName="Sales orders").rows[0]["Status"] == "Cancelled"
    assert tenant.report("Item inventory summary", SearchClause='[Allocated] != "0"').total_count == 0
    items = f"SalesOrderNumber,ItemCode,QuantityOrdered\nW-1,{skus(tenant)[0]},1"
    assert "cannot be deleted" in tenant.save("Sales order items", items, action=2).statuses[0]
    assert tenant.save("Sales orders", "SalesOrderNumber\nW-1", action=3).response_id == -1


def test_an_expected_return_is_a_purchase_order_with_lines(tenant: Tenant) -> None:
    assert tenant.save("Purchase orders", "PurchaseOrderNumber,Reference\nRTN-1,RT-1").statuses == ["Success"]
    lines = (
        "PurchaseOrderNumber,ItemCode,Quantity,Line,ExpectededDeliveryDate\n"
        f"RTN-1,{skus(tenant)[0]},1,1,2026-07-09 12:00:00\nRTN-9,{skus(tenant)[0]},1,1,"
    )
    answer = tenant.save("Purchase order items", lines)
    assert answer.statuses[0] == "Success"
    assert "RTN-9" in answer.statuses[1]
    clause = 'PurchaseOrderNumber.Equals("RTN-1")'
    (row,) = tenant.call("GetData", TemplateName="Purchase order items", SearchClause=clause).rows
    assert (row["Quantity"], row["ExpectededDeliveryDate"], row["Status"]) == ("1", "'09/07/2026 12:00'", "Pending")
    assert tenant.save("Purchase orders", "PurchaseOrderNumber\nRTN-1", action=2).statuses == ["Success"]
    assert tenant.call("GetData", TemplateName="Purchase orders").rows[0]["Status"] == "Deleted"


# -- events ------------------------------------------------------------------------------------------------------------


def test_a_subscription_is_known_only_by_its_id(tenant: Tenant) -> None:
    def subscribe(event_type: str, url: str = "http://localhost/hook?sku={ItemCode}") -> Answer:
        return tenant.call(
            "SubscribeEvent", eventType=event_type, filter="", callbackUrl=url, encodeParameterData="true"
        )

    first = subscribe("AvailabilityChanges")
    second = tenant.call(
        "SubscribePostEvent", eventType="Returns", filter="", postUrl="http://localhost/hook", postParams="a={ItemCode}"
    )
    assert (first.detail, second.detail) == ("1", "2")
    assert tenant.call("UnsubscribeEvent", subscriptionId=1).detail == "True"
    assert tenant.call("UnsubscribeEvent", subscriptionId=1).response_id == -1
    assert subscribe("Nope").response_id == -1
    assert subscribe("Returns", "ftp://localhost").response_id == -1
