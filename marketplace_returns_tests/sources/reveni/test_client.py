"""The Reveni client: each operation against the sandbox's recorded answers, and against each refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import (
    AuthFailed,
    BadArgument,
    ContractBroken,
    OutcomeUnknown,
    RateLimited,
    SourceRefused,
    SourceUnreachable,
)
from marketplace_returns.sandbox import reveni as sandbox_reveni
from marketplace_returns.sandbox.world import World, WorldConfig
from marketplace_returns.settings import Shop, Timing
from marketplace_returns.sources.budget import NoBudget
from marketplace_returns.sources.http import NullCallLog
from marketplace_returns.sources.reveni.client import ReveniClient, connect
from marketplace_returns_tests.sources.recorded import outside

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
CASSETTES = Path(__file__).parent / "cassettes"
Answerer = Callable[[httpx.Request], httpx.Response]


def shop(base_url: str) -> Shop:
    return Shop.model_validate(
        {
            "name": "asos_uk",
            "marketplace": "asos",
            "currency": "GBP",
            "time_zone": "Europe/London",
            "mirakl": {"base_url": "http://127.0.0.1:9", "shop_id": 1, "call_profile": "sandbox"},
            "returns": {
                "platform": "reveni",
                "base_url": base_url,
                "store_id": "sandbox-store",
                "api_key": "sandbox-reveni-key",
            },
        }
    )


def client_of(base_url: str, answer: Answerer | None = None) -> ReveniClient:
    return connect(
        shop(base_url),
        timing=Timing(),
        budget=NoBudget(),
        clock=FixedClock(START),
        log=NullCallLog(),
        transport=None if answer is None else httpx.MockTransport(answer),
    )


def answering(status: int, body: object = None, **headers: str) -> ReveniClient:
    return client_of("https://reveni.example", lambda _: httpx.Response(status, json=body, headers=headers))


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[ReveniClient]:
    name = request.node.name.removeprefix("test_")
    world = lambda: World(WorldConfig(start=START, orders=1, skus=5))  # noqa: E731
    with outside(CASSETTES / f"{name}.yaml", "/reveni", world, sandbox_reveni.routes) as there:
        yield client_of(there.base_url)


def wanted(external_id: str = "RT-1", lines: int = 1) -> dict[str, Any]:
    skus = list(World(WorldConfig(start=START, orders=1, skus=5)).products)
    return {
        "external_id": external_id,
        "order": {"external_id": "ORDER-1-A", "name": "ORDER-1"},
        "currency": "GBP",
        "return_items": [
            {
                "external_id": f"ORDER-1-A-{number}",
                "sku": skus[number],
                "quantity": 1,
                "unit_price": "12.50",
                "tax_amount": "2.08",
                "return_reason": "size",
            }
            for number in range(lines)
        ],
    }


def test_a_created_return_can_be_read_by_id_and_found_by_our_key(client: ReveniClient) -> None:
    made = client.create_return(wanted("RT-1"))
    assert made["order"]["external_id"] == "ORDER-1-A"
    assert made["delivery"]["label_url"]
    assert client.return_by_id(made["id"]) == made
    assert client.find_by_external_id("RT-1") == [made]
    assert client.find_by_external_id("RT-2") == []


def test_creating_a_return_again_gives_back_the_one_that_is_there(client: ReveniClient) -> None:
    made = client.create_return(wanted("RT-1"))
    assert client.create_return(wanted("RT-1")) == made
    assert len([item for page in client.returns(START.date(), START.date()) for item in page]) == 1


def test_a_window_of_days_is_read_to_its_last_page(client: ReveniClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_returns.sources.reveni.client.PAGE_SIZE", 2)
    made = [client.create_return(wanted(f"RT-{number}"))["id"] for number in range(5)]
    pages = list(client.returns(date(2026, 7, 1), date(2026, 7, 1)))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(item["id"] for page in pages for item in page) == sorted(made)
    assert list(client.returns(date(2026, 6, 1), date(2026, 6, 30))) == []


def test_a_verdict_is_given_per_line(client: ReveniClient) -> None:
    made = client.create_return(wanted("RT-1", lines=2))
    first, second = (item["id"] for item in made["return_items"])
    judged = client.validate(
        made["id"],
        [
            {"item_id": first, "quantity": 1, "status": "accepted"},
            {"item_id": second, "quantity": 1, "status": "rejected", "reject_reason": "defect"},
        ],
    )
    assert [item["status"] for item in judged["return_items"]] == ["accepted", "rejected"]


def test_store_settings_tell_whether_reveni_refunds_by_itself(client: ReveniClient) -> None:
    settings = client.store_settings()
    assert settings is not None
    assert settings["auto_refund"] is False


def test_a_refused_body_is_refused_and_not_unclear(client: ReveniClient) -> None:
    body = wanted("RT-1") | {"currency": "EUR"}
    with pytest.raises(SourceRefused) as refusal:
        client.create_return(body)
    assert refusal.value.status == 422
    assert "currency" in refusal.value.excerpt


def test_an_unknown_return_is_refused_with_404(client: ReveniClient) -> None:
    with pytest.raises(SourceRefused) as refusal:
        client.return_by_id("0" * 32)
    assert refusal.value.status == 404
    with pytest.raises(SourceRefused):
        client.validate("0" * 32, [{"item_id": "x", "quantity": 1, "status": "accepted"}])


READS: list[Callable[[ReveniClient], object]] = [
    lambda client: list(client.returns(START.date(), START.date())),
    lambda client: client.return_by_id("1"),
    lambda client: client.find_by_external_id("RT-1"),
    lambda client: client.store_settings(),
]
WRITES: list[Callable[[ReveniClient], object]] = [
    lambda client: client.create_return({"external_id": "RT-1"}),
    lambda client: client.validate("1", []),
]


@pytest.mark.parametrize("call", READS + WRITES)
def test_a_wrong_key_is_told_as_such(call: Callable[[ReveniClient], object]) -> None:
    with pytest.raises(AuthFailed, match="key"):
        call(answering(401, {"detail": "Authentication credentials were not provided or are invalid."}))


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("body", ['{"results": [{"id"', "<html>busy</html>", "[]", "null"])
def test_a_read_of_another_form_is_a_broken_contract(call: Callable[[ReveniClient], object], body: str) -> None:
    with pytest.raises(ContractBroken):
        call(client_of("https://reveni.example", lambda _: httpx.Response(200, text=body)))


@pytest.mark.parametrize("body", [{"results": {}}, {"results": [{}]}, {"results": [], "next": "more"}, {"count": 0}])
def test_a_page_that_is_no_page_is_a_broken_contract(body: object) -> None:
    with pytest.raises(ContractBroken):
        list(answering(200, body).returns(START.date(), START.date()))


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("body", ["", '{"id": ', "<html>ok</html>", "{}", "[]"])
def test_a_write_answered_without_a_return_is_unclear(
    call: Callable[[ReveniClient], object], status: int, body: str
) -> None:
    with pytest.raises(OutcomeUnknown, match=r"[Rr]ead back"):
        call(client_of("https://reveni.example", lambda _: httpx.Response(status, text=body)))


@pytest.mark.parametrize("call", WRITES)
def test_a_write_answered_by_an_error_of_the_server_is_unclear_and_sent_once(
    call: Callable[[ReveniClient], object],
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(502, text="bad gateway")

    with pytest.raises(OutcomeUnknown):
        call(client_of("https://reveni.example", answer))
    assert len(seen) == 1


@pytest.mark.parametrize("call", WRITES)
def test_too_many_calls_carry_the_time_to_wait(call: Callable[[ReveniClient], object]) -> None:
    with pytest.raises(RateLimited) as refusal:
        call(answering(429, {"detail": "slow down"}, **{"Retry-After": "7"}))
    assert refusal.value.retry_after_s == 7


def test_a_read_survives_one_error_of_the_server() -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, json={"id": "1"})])
    assert client_of("https://reveni.example", lambda _: next(answers)).return_by_id("1") == {"id": "1"}


def test_a_read_gives_up_in_the_end() -> None:
    with pytest.raises(SourceUnreachable):
        answering(500).return_by_id("1")


def test_settings_that_reveni_does_not_tell_are_unknown() -> None:
    assert answering(404, {"detail": "Not found."}).store_settings() is None


def test_a_refused_duplicate_that_cannot_be_found_stays_a_refusal() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(409, json={"detail": "exists", "id": "1"})
        return httpx.Response(200, json={"count": 0, "next": None, "results": []})

    with pytest.raises(SourceRefused) as refusal:
        client_of("https://reveni.example", answer).create_return(wanted())
    assert refusal.value.status == 409


def test_a_set_that_shrinks_while_it_is_paged_ends_the_pages() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params["page"] == "1":
            return httpx.Response(200, json={"next": "https://elsewhere.example/?page=2", "results": [{"id": "1"}]})
        return httpx.Response(404, json={"detail": "Invalid page."})

    assert list(client_of("https://reveni.example", answer).returns(START.date(), START.date())) == [[{"id": "1"}]]


def test_the_key_never_follows_a_next_address_to_another_host() -> None:
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        more = "https://elsewhere.example/?page=2" if len(hosts) < 3 else None
        return httpx.Response(200, json={"next": more, "results": [{"id": str(len(hosts))}]})

    list(client_of("https://reveni.example", answer).returns(START.date(), START.date()))
    assert hosts == ["reveni.example"] * 3


def test_pages_that_never_end_are_a_broken_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_returns.sources.reveni.client.PAGES_MAX", 3)
    with pytest.raises(ContractBroken, match="shorter span"):
        list(answering(200, {"next": "more", "results": [{"id": "1"}]}).returns(START.date(), START.date()))


def test_bad_arguments_name_the_mend() -> None:
    with pytest.raises(BadArgument, match="swap"):
        answering(200).returns(date(2026, 7, 2), date(2026, 7, 1))
    with pytest.raises(BadArgument, match="empty"):
        answering(200).find_by_external_id("")


def test_amounts_keep_their_decimal_text() -> None:
    body = {"id": "1", "total_amount": "10.10", "refunds": [{"amount": "0.30"}]}
    assert answering(200, body).return_by_id("1") == body
