"""The ReturnGO client: each operation against the sandbox's recorded answers, and against each refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from marketplace_returns.errors import (
    AuthFailed,
    BadArgument,
    ContractBroken,
    OutcomeUnknown,
    RateLimited,
    SourceRefused,
    SourceUnreachable,
)
from marketplace_returns.sources.http import CallRecord
from marketplace_returns.sources.returngo.client import ReturnGoClient, rma_key
from marketplace_returns.sources.returngo.reading import Known
from marketplace_returns_tests.sources.recorded import Outside
from marketplace_returns_tests.sources.returngo.conftest import (
    NOW,
    answering,
    client_of,
    inspected,
    orders,
    wanted,
)

HOST = "https://returngo.example"


class NothingKnown:
    """A memory of nothing."""

    def known(self, rma_ids: object) -> dict[str, Known]:
        return {}

    def not_at_rest(self, limit: int) -> list[str]:
        return []


def test_a_created_rma_can_be_read_whole_with_one_element_per_unit(client: ReturnGoClient) -> None:
    rma_id = client.create_rma(wanted(quantity=2))
    assert rma_id.isdigit()
    found = client.rma(rma_id)
    assert rma_key(found["rmaSummary"]["rmaId"]) == rma_id
    assert found["rmaSummary"]["status"] == "Approved"
    assert found["orderDetails"]["order_name"] == orders()[0].id
    assert found["externalId"] == "RT-1"
    assert len({unit["returnedItemId"] for unit in found["items"]}) == 2
    assert client.rma(f"RMA{rma_id}") == found
    assert list(client.rmas_by_id([rma_id])) == [[found]]


def test_a_list_is_read_to_its_last_page_whatever_the_cursor(
    client: ReturnGoClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace_returns.sources.returngo.client.PAGE_SIZE", 2)
    made = [client.create_rma(wanted(f"RT-{number}", order=number)) for number in range(3)]
    pages = list(client.list_rmas())
    assert [len(page) for page in pages] == [2, 1]
    assert [rma_key(row["rmaId"]) for page in pages for row in page] == made
    assert set(pages[0][0]) == {"rmaId", "status", "order_name", "events"}
    assert [rma_key(row["rmaId"]) for page in client.list_rmas(order_name=orders()[1].id) for row in page] == [made[1]]


def test_only_what_was_updated_since_is_listed(there: Outside, client: ReturnGoClient) -> None:
    client.create_rma(wanted("RT-0"))
    there.advance(hours=1)
    late = client.create_rma(wanted("RT-1", order=1))
    since = list(client.list_rmas(updated_from=NOW + timedelta(minutes=1)))
    assert [rma_key(row["rmaId"]) for page in since for row in page] == [late]


def test_a_poll_reads_what_is_listed_in_full(client: ReturnGoClient) -> None:
    made = client.create_rma(wanted())
    window = (NOW - timedelta(minutes=5), NOW)
    assert list(client.changes(window, NothingKnown())) == [[client.rma(made)]]


def test_transactions_wait_until_their_outcome_is_told_once(there: Outside, client: ReturnGoClient) -> None:
    rma_id = client.create_rma(wanted(quantity=2))
    there.arrange(lambda world: inspected(world, "new", "damaged"))
    ((waiting,),) = client.transactions(rma_ids=[rma_id])
    assert waiting["status"] == "Requested"
    assert len(waiting["returnItemIds"]) == 2
    outcome = {
        "status": "Success",
        "externalReferenceId": "REFUND-1",
        "externalReferenceType": client.refund_reference_type,
    }
    client.report_transaction(str(waiting["id"]), outcome)
    ((told,),) = client.transactions(updated_from=NOW)
    assert (told["status"], told["externalReferenceId"], told["externalReferenceType"]) == (
        "Success",
        "REFUND-1",
        "MiraklRefundId",
    )
    assert client.rma(rma_id)["rmaSummary"]["status"] == "Done"
    with pytest.raises(SourceRefused) as refusal:
        client.report_transaction(str(waiting["id"]), outcome)
    assert refusal.value.status == 400


def test_a_status_can_be_set(client: ReturnGoClient) -> None:
    rma_id = client.create_rma(wanted())
    client.set_status(rma_id, "Received")
    assert client.rma(rma_id)["rmaSummary"]["status"] == "Received"
    with pytest.raises(SourceRefused):
        client.set_status(rma_id, "Lost")


def test_webhooks_are_registered_and_removed(client: ReturnGoClient) -> None:
    assert client.webhooks() == []
    number = client.subscribe("RMA_STATUS_UPDATED", "https://hooks.example/token")
    (made,) = client.webhooks()
    assert (str(made["id"]), made["eventName"]) == (number, "RMA_STATUS_UPDATED")
    client.unsubscribe(number)
    assert client.webhooks() == []


def test_what_the_policy_does_not_allow_is_refused_and_not_unclear(client: ReturnGoClient) -> None:
    for body in (wanted() | {"order_name": "NO-SUCH-ORDER"}, wanted(quantity=9)):
        with pytest.raises(SourceRefused) as refusal:
            client.create_rma(body)
        assert refusal.value.status == 400


def test_an_unknown_rma_is_refused_with_404(client: ReturnGoClient) -> None:
    with pytest.raises(SourceRefused) as refusal:
        client.rma("1")
    assert refusal.value.status == 404


READS: list[Callable[[ReturnGoClient], object]] = [
    lambda client: list(client.list_rmas()),
    lambda client: client.rma("1"),
    lambda client: list(client.transactions()),
    lambda client: client.webhooks(),
    lambda client: list(client.changes((NOW, NOW), NothingKnown())),
]
WRITES: list[Callable[[ReturnGoClient], object]] = [
    lambda client: client.create_rma({}),
    lambda client: client.report_transaction("1", {"status": "Success"}),
    lambda client: client.set_status("1", "Done"),
    lambda client: client.subscribe("RMA_CREATED", "https://hooks.example/token"),
    lambda client: client.unsubscribe("1"),
]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("call", READS + WRITES)
def test_a_key_or_shop_that_is_not_accepted_is_told_as_such(
    call: Callable[[ReturnGoClient], object], status: int
) -> None:
    with pytest.raises(AuthFailed, match="key"):
        call(answering(status, {"message": "Unauthorized"}))


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("body", ['{"rmas": [{"rmaId"', "<html>busy</html>", "[]", "null", "{}"])
def test_a_read_of_another_form_is_a_broken_contract(call: Callable[[ReturnGoClient], object], body: str) -> None:
    with pytest.raises(ContractBroken):
        call(client_of(HOST, lambda _: httpx.Response(200, text=body)))


@pytest.mark.parametrize("body", ["", '{"rmaId": ', "<html>ok</html>", "{}", "[]"])
def test_a_creation_answered_without_an_rma_is_unclear(body: str) -> None:
    with pytest.raises(OutcomeUnknown, match=r"[Rr]ead back"):
        client_of(HOST, lambda _: httpx.Response(201, text=body)).create_rma(wanted())


@pytest.mark.proves("R39")
@pytest.mark.parametrize("call", WRITES)
def test_a_write_answered_by_an_error_of_the_server_is_unclear_and_sent_once(
    call: Callable[[ReturnGoClient], object],
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(502, text="bad gateway")

    with pytest.raises(OutcomeUnknown):
        call(client_of(HOST, answer))
    assert len(seen) == 1


@pytest.mark.parametrize("call", WRITES)
def test_too_many_calls_carry_the_time_to_wait(call: Callable[[ReturnGoClient], object]) -> None:
    with pytest.raises(RateLimited) as refusal:
        call(answering(429, {"message": "Too Many Requests"}, **{"Retry-After": "7"}))
    assert refusal.value.retry_after_s == 7


def test_a_read_waits_as_long_as_a_429_says_and_asks_again() -> None:
    answers = iter(
        [
            httpx.Response(429, headers={"Retry-After": "7"}),
            httpx.Response(200, json={"rmaSummary": {"rmaId": 1}}),
        ]
    )
    client = client_of(HOST, lambda _: next(answers))
    assert client.rma("1") == {"rmaSummary": {"rmaId": 1}}
    assert client._http.clock.now() == NOW + timedelta(seconds=7)


def test_a_read_gives_up_in_the_end() -> None:
    with pytest.raises(SourceUnreachable):
        answering(500).rma("1")


def test_every_call_carries_key_and_shop_and_the_filter_is_in_utc() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"rmas": [], "next_cursor": None})

    london = datetime.fromisoformat("2026-07-03T09:00:00+01:00")
    list(client_of(HOST, answer).list_rmas(updated_from=london))
    (request,) = seen
    assert (request.headers["x-api-key"], request.headers["x-shop-name"]) == (
        "sandbox-returngo-key",
        "sandbox.shop.test",
    )
    assert request.url.params["rma_updated_at"] == "gte:2026-07-03T08:00:00"
    assert request.url.params["pagesize"] == "500"


def test_a_plus_of_the_cursor_is_sent_encoded() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.query)
        return httpx.Response(200, json={"rmas": [{"rmaId": 1}], "next_cursor": "a+b=" if len(seen) == 1 else None})

    list(client_of(HOST, answer).list_rmas())
    assert b"cursor=a%2Bb%3D" in seen[1]


def test_a_cursor_that_does_not_move_is_a_broken_contract() -> None:
    with pytest.raises(ContractBroken, match="own page"):
        list(answering(200, {"rmas": [{"rmaId": 1}], "next_cursor": "same"}).list_rmas())


def test_pages_that_never_end_are_a_broken_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_returns.sources.returngo.client.PAGES_MAX", 3)
    numbers = iter(range(100))
    client = client_of(
        HOST, lambda _: httpx.Response(200, json={"rmas": [{"rmaId": 1}], "next_cursor": str(next(numbers))})
    )
    with pytest.raises(ContractBroken, match="shorter"):
        list(client.list_rmas())


def test_numbers_nulls_and_bits_are_given_as_they_came() -> None:
    drifted: dict[str, Any] = {
        "rmaSummary": {"rmaId": 17, "events": [{"userDetails": None}]},
        "isOutOfPolicy": 0,
        "items": [{"isAutoApprove": 1, "itemValidationStatusResponse": {"isReturned": False}}],
    }
    assert answering(200, drifted).rma("17") == drifted


def test_the_ids_that_returngo_gives_a_call_are_logged_and_told() -> None:
    kept: list[CallRecord] = []

    class Log:
        def record(self, call: CallRecord) -> None:
            kept.append(call)

    headers = {"x-amzn-requestid": "R-1", "x-amz-apigw-id": "G-1", "x-amzn-trace-id": "T-1"}
    client = client_of(HOST, lambda _: httpx.Response(400, json={"message": "no"}, headers=headers), Log())
    with pytest.raises(SourceRefused) as refusal:
        client.rma("1")
    assert "x-amzn-requestid=R-1 x-amz-apigw-id=G-1 x-amzn-trace-id=T-1" in kept[0].request_id
    assert refusal.value.request_id == kept[0].request_id


def test_an_rma_that_is_listed_and_gone_stops_no_other() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/rmas":
            return httpx.Response(200, json={"rmas": [{"rmaId": "RMA1"}, {"rmaId": "RMA2"}]})
        if request.url.path == "/rma/1":
            return httpx.Response(404, json={"message": "RMA was not found"})
        return httpx.Response(200, json={"rmaSummary": {"rmaId": "RMA2"}})

    pages = list(client_of(HOST, answer).changes((NOW, NOW), NothingKnown()))
    assert pages == [[{"rmaSummary": {"rmaId": "RMA2"}}]]


def test_bad_arguments_name_the_mend() -> None:
    with pytest.raises(BadArgument, match="empty"):
        answering(200).rma(" ")
