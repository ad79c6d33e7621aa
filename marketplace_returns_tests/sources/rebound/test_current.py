"""ReBound's newer API: each operation against the sandbox's recorded answers, and against each refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
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
from marketplace_returns.sandbox import rebound as sandbox_rebound
from marketplace_returns.sources.rebound import ReboundClient, ReboundWrites
from marketplace_returns_tests.sources.rebound import accounts
from marketplace_returns_tests.sources.rebound.accounts import CASSETTES, START, Answerer, inspected, wanted
from marketplace_returns_tests.sources.recorded import Outside, outside

PLACE = "https://rebound.example"
TOKEN = {"access_token": "T", "token_type": "Bearer", "expires_in": 1800}


@pytest.fixture
def there(request: pytest.FixtureRequest) -> Iterator[Outside]:
    name = request.node.name.removeprefix("test_")
    with outside(CASSETTES / f"v2_{name}.yaml", "/rebound", accounts.world, sandbox_rebound.routes) as found:
        yield found


@pytest.fixture
def client(there: Outside) -> ReboundClient:
    return accounts.client_of(there.base_url, "v2")


def answering(answer: Answerer) -> ReboundClient:
    """Give tokens to whoever asks, and answer the rest."""

    def all_calls(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=TOKEN) if request.url.path.endswith("/token") else answer(request)

    return accounts.client_of(PLACE, "v2", all_calls)


def always(status: int, body: object = None, **headers: str) -> ReboundClient:
    return answering(lambda _: httpx.Response(status, json=body, headers=headers))


def read(client: ReboundClient, *ids: str) -> list[dict[str, Any]]:
    return [item for page in client.returns_by_id(ids) for item in page]


@pytest.mark.proves("R1")
def test_a_created_return_order_can_be_read_and_found_by_our_key(client: ReboundClient) -> None:
    made = client.create_return(wanted())
    (found,) = read(client, made)
    assert (found["external_id"], found["order_reference"]) == ("RT-1", "ORDER-1-A")
    assert found["status"] == "Return Order Created"
    assert found["tracking"]
    assert found["label_url"]
    assert client.find_by_key("RT-1", "ORDER-1-A") == [made]
    assert client.find_by_key("RT-2", "ORDER-1-A") == []


@pytest.mark.proves("R1")
def test_of_several_return_orders_of_an_order_ours_is_found(client: ReboundClient) -> None:
    writes = ReboundWrites(client)
    first, second = writes.create(wanted("RT-1")), writes.create(wanted("RT-2"))
    assert first != second
    assert writes.create(wanted("RT-1")) == first
    assert (writes.find("RT-1", "ORDER-1-A"), writes.find("RT-2", "ORDER-1-A")) == ([first], [second])


def test_what_changed_is_read_to_its_last_page(
    client: ReboundClient, there: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace_returns.sources.rebound.current.PAGE_SIZE", 2)
    made = [client.create_return(wanted(f"RT-{number}")) for number in range(5)]
    pages = list(client.returns(START, START))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(item["id"] for page in pages for item in page) == sorted(made)
    there.advance(hours=2)
    assert list(client.returns(START + timedelta(hours=1), START + timedelta(hours=2))) == []


@pytest.mark.proves("R7", "R37")
def test_announced_and_received_are_two_figures(client: ReboundClient, there: Outside) -> None:
    made = client.create_return(wanted(lines=2, quantity=2))
    there.arrange(lambda world: inspected(world, ORDER_1_A_0=["new", "damaged"], ORDER_1_A_1=["wrong_item", "missing"]))
    (found,) = read(client, made)
    assert found["status"] == "Return processed in ReBound hub"
    assert [
        (item["quantity"], item["quantity_received"], item["final_disposition"], item["received_sku"])
        for item in found["item"]
    ] == [
        (1, 1, "sellable", None),
        (1, 1, "damaged", None),
        (1, 1, "wrong_item", "ANOTHER-SKU"),
        (1, 0, "missing", None),
    ]
    assert {item["disposition_at"] for item in found["item"]} == {"2026-07-01T08:00:00Z"}


def test_a_token_that_ran_out_is_renewed(client: ReboundClient, there: Outside) -> None:
    made = client.create_return(wanted())
    there.advance(hours=1)
    assert [item["id"] for item in read(client, made)] == [made]


def test_a_return_order_that_is_gone_is_left_out(client: ReboundClient) -> None:
    assert read(client, "0" * 32) == []


def test_a_refused_document_is_refused_and_not_unclear(client: ReboundClient) -> None:
    body = wanted()
    body["item"][0]["sku_code"] = "unknown"
    with pytest.raises(SourceRefused) as refusal:
        client.create_return(body)
    assert refusal.value.status == 422


def test_a_wrong_secret_is_told_as_such(there: Outside) -> None:
    with pytest.raises(AuthFailed, match="client id or secret"):
        accounts.client_of(there.base_url, "v2", api_key="wrong").find_by_key("RT-1", "ORDER-1-A")


READS: list[Callable[[ReboundClient], object]] = [
    lambda client: list(client.returns(START, START)),
    lambda client: list(client.returns_by_id(["1"])),
    lambda client: client.find_by_key("RT-1", "ORDER-1-A"),
]


def create(client: ReboundClient) -> object:
    return client.create_return(wanted())


@pytest.mark.parametrize("call", [*READS, create])
def test_a_token_is_renewed_once_and_no_more(call: Callable[[ReboundClient], object]) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append("token" if request.url.path.endswith("/token") else "call")
        if seen[-1] == "token":
            return httpx.Response(200, json={"access_token": f"T{len(seen)}"})
        return httpx.Response(401, json={"message": "run out"})

    with pytest.raises(AuthFailed):
        call(accounts.client_of(PLACE, "v2", answer))
    assert seen == ["token", "call", "token", "call"]


def test_a_forbidden_call_renews_no_token() -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(403, json={"message": "not allowed"})

    with pytest.raises(AuthFailed):
        create(answering(answer))
    assert len(calls) == 1


@pytest.mark.parametrize("body", [{}, *({"access_token": token} for token in ("", 1, "Té", "T\r\nX: 1"))])
def test_a_token_that_is_none_is_a_broken_contract(body: object) -> None:
    with pytest.raises(ContractBroken, match="token_url"):
        READS[0](accounts.client_of(PLACE, "v2", lambda _: httpx.Response(200, json=body)))


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("body", ['{"items": [{"id"', "<html>busy</html>", "[]", "null", "{}"])
def test_a_read_of_another_form_is_a_broken_contract(call: Callable[[ReboundClient], object], body: str) -> None:
    with pytest.raises(ContractBroken):
        call(answering(lambda _: httpx.Response(200, text=body)))


@pytest.mark.parametrize("body", [{"items": {}, "pages": 1}, {"items": [{}], "pages": 1}, {"items": [], "pages": None}])
def test_a_page_that_is_no_page_is_a_broken_contract(body: object) -> None:
    with pytest.raises(ContractBroken):
        list(always(200, body).returns(START, START))


@pytest.mark.parametrize("body", ["", '{"id": ', "<html>ok</html>", "{}", "[]"])
def test_a_write_answered_without_a_return_order_is_unclear(body: str) -> None:
    with pytest.raises(OutcomeUnknown, match=r"[Rr]ead back"):
        create(answering(lambda _: httpx.Response(201, text=body)))


def test_a_write_answered_by_an_error_of_the_server_is_unclear_and_sent_once() -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(502, text="bad gateway")

    with pytest.raises(OutcomeUnknown):
        create(answering(answer))
    assert len(calls) == 1


def test_too_many_calls_carry_the_time_to_wait() -> None:
    with pytest.raises(RateLimited) as refusal:
        create(always(429, {"message": "slow down"}, **{"Retry-After": "7"}))
    assert refusal.value.retry_after_s == 7


@pytest.mark.parametrize("call", READS)
def test_a_read_gives_up_in_the_end(call: Callable[[ReboundClient], object]) -> None:
    with pytest.raises(SourceUnreachable):
        call(always(500))


def test_a_set_that_shrinks_while_it_is_paged_ends_the_pages() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        items = [{"id": "1"}] if request.url.params["page"] == "1" else []
        return httpx.Response(200, json={"items": items, "page": 1, "pages": 3})

    assert [[item["id"] for item in page] for page in answering(answer).returns(START, START)] == [["1"]]


def test_pages_that_never_end_are_a_broken_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_returns.sources.rebound.current.PAGES_MAX", 3)
    with pytest.raises(ContractBroken, match="shorter span"):
        list(always(200, {"items": [{"id": "1"}], "page": 1, "pages": 99}).returns(START, START))


def test_the_token_goes_to_the_api_and_the_secret_to_the_token_address_alone() -> None:
    sent: dict[str, list[httpx.Request]] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        sent.setdefault(request.url.host, []).append(request)
        body = TOKEN if request.url.host == "login.example" else {"items": [], "page": 1, "pages": 0}
        return httpx.Response(200, json=body)

    client = accounts.client_of(PLACE, "v2", answer, token_url="https://login.example/token")
    list(client.returns(START, START))
    assert all(b"sandbox-rebound-secret" in request.content for request in sent["login.example"])
    assert all(b"sandbox-rebound-secret" not in request.content for request in sent["rebound.example"])
    assert [request.headers["Authorization"] for request in sent["rebound.example"]] == ["Bearer T"]
    assert "Authorization" not in sent["login.example"][0].headers


def test_bad_arguments_name_the_mend() -> None:
    with pytest.raises(BadArgument, match="swap"):
        list(always(200).returns(START, START - timedelta(days=1)))
    with pytest.raises(BadArgument, match="needed"):
        always(200).find_by_key("RT-1", "")
