"""ReBound's older API: each operation against the sandbox's recorded answers, and against each refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import msgspec
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
from marketplace_returns.sandbox import rebound as sandbox_rebound
from marketplace_returns.sources.budget import SharedBudget
from marketplace_returns.sources.rebound import ReboundClient, ReboundWrites, ceilings
from marketplace_returns_tests.sources.rebound import accounts
from marketplace_returns_tests.sources.rebound.accounts import CASSETTES, START, Answerer, inspected, wanted
from marketplace_returns_tests.sources.recorded import Outside, outside

PLACE = "https://rebound.example"
TODAY = (START, START)


@pytest.fixture
def there(request: pytest.FixtureRequest) -> Iterator[Outside]:
    name = request.node.name.removeprefix("test_")
    with outside(CASSETTES / f"legacy_{name}.yaml", "/rebound", accounts.world, sandbox_rebound.routes) as found:
        yield found


@pytest.fixture
def client(there: Outside) -> ReboundClient:
    return accounts.client_of(there.base_url, "legacy_ir")


def answering(answer: Answerer | object, **options: Any) -> ReboundClient:
    def same(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer)

    return accounts.client_of(PLACE, "legacy_ir", answer if callable(answer) else same, **options)


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "Told by ReBound."}}


def read(client: ReboundClient, *ids: str) -> list[dict[str, Any]]:
    return [item for page in client.returns_by_id(ids) for item in page]


def ids_of(pages: Iterator[list[dict[str, Any]]]) -> list[str]:
    return [item["id"] for page in pages for item in page]


@pytest.mark.proves("R1")
def test_a_created_return_can_be_read_and_found_by_our_key(client: ReboundClient) -> None:
    made = client.create_return(wanted())
    (found,) = read(client, made)
    assert (found["external_id"], found["order_reference"], found["status"]) == ("RT-1", "ORDER-1-A", "created")
    assert found["tracking"]
    assert client.find_by_key("RT-1", "ORDER-1-A") == [made]
    assert client.find_by_key("RT-2", "ORDER-1-A") == []


@pytest.mark.proves("R1")
def test_a_return_that_stands_under_our_key_is_given_and_not_made_again(client: ReboundClient) -> None:
    writes = ReboundWrites(client)
    made = writes.create(wanted())
    assert writes.create(wanted()) == made
    assert writes.find("RT-1", "ORDER-1-A") == [made]
    again = client.create_return(wanted())  # ReBound itself compares nothing
    assert sorted(writes.find("RT-1", "ORDER-1-A")) == sorted([made, again])


def test_days_are_searched_in_windows_to_the_last_return(
    client: ReboundClient, there: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace_returns.sources.rebound.legacy.PAGE_SIZE", 2)
    made = [client.create_return(wanted(f"RT-{number}")) for number in range(3)]
    there.advance(days=9)
    made.append(client.create_return(wanted("RT-later")))
    pages = list(client.returns(START, START + timedelta(days=9)))
    assert [len(page) for page in pages] == [2, 1, 1]
    assert sorted(item["id"] for page in pages for item in page) == sorted(made)
    assert list(client.returns(START - timedelta(days=40), START - timedelta(days=1))) == []


@pytest.mark.proves("R44")
def test_the_label_and_the_customers_own_words_stay_outside(client: ReboundClient) -> None:
    (found,) = read(client, client.create_return(wanted()))
    assert "label" not in found
    assert "gift" not in msgspec.json.encode(found).decode()
    assert found["item"][0]["reason"] == [{"action": "return", "reason": "too_big", "wish": "refund"}]


def test_each_unit_is_an_item_numbered_by_its_place(client: ReboundClient) -> None:
    (found,) = read(client, client.create_return(wanted(lines=2, quantity=2)))
    assert [(item["item_id"], item["line_key"], item["quantity"]) for item in found["item"]] == [
        ("1", "ORDER-1-A-0", "1"),
        ("2", "ORDER-1-A-0", "1"),
        ("3", "ORDER-1-A-1", "1"),
        ("4", "ORDER-1-A-1", "1"),
    ]
    assert found["item"][0]["sku_code"] == found["item"][1]["sku_code"]
    assert found["item"][0]["price"] == "12.50"


@pytest.mark.proves("R7", "R37")
def test_a_parcel_is_followed_and_its_inspection_told_by_item(client: ReboundClient, there: Outside) -> None:
    made = client.create_return(wanted(lines=2, quantity=2))
    there.arrange(lambda world: inspected(world, ORDER_1_A_0=["new", "damaged"], ORDER_1_A_1=["wrong_item", "missing"]))
    (found,) = read(client, made)
    assert [event["status"] for event in found["track"]] == ["created", "in_transit", "at_hub", "processed"]
    assert {event["dt"] for event in found["track"]} == {"2026-07-01T08:00:00+00:00"}
    assert "Testtown" not in str(found["track"])
    assert [(item["final_disposition"], item["received_sku"]) for item in found["item"]] == [
        ("sellable", ""),
        ("damaged", ""),
        ("wrong_item", "ANOTHER-SKU"),
        ("missing", ""),
    ]
    assert found["verification_entity"] == "hub"


def test_a_return_that_is_gone_is_left_out(client: ReboundClient) -> None:
    assert read(client, "0" * 32) == []


def test_a_refused_document_is_refused_and_not_unclear(client: ReboundClient) -> None:
    body = wanted()
    body["item"][0]["sku_code"] = "X" * 300
    with pytest.raises(SourceRefused, match="request_wrong"):
        client.create_return(body)


def test_a_wrong_key_is_told_and_no_further_call_leaves(there: Outside) -> None:
    client = accounts.client_of(there.base_url, "legacy_ir", api_key="wrong")
    for _ in range(2):
        with pytest.raises(AuthFailed, match="access_denied"):
            client.find_by_key("RT-1", "ORDER-1-A")


READS: list[Callable[[ReboundClient], object]] = [
    lambda client: list(client.returns(*TODAY)),
    lambda client: list(client.returns_by_id(["1"])),
    lambda client: client.find_by_key("RT-1", "ORDER-1-A"),
]


def create(client: ReboundClient) -> object:
    return client.create_return(wanted())


@pytest.mark.parametrize("code", ["login_empty", "api_key_empty", "access_denied", "ip_blocked"])
@pytest.mark.parametrize("call", [*READS, create])
def test_a_refused_login_ends_all_calls(call: Callable[[ReboundClient], object], code: str) -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200, json=error(code))

    client = answering(answer)
    for again in (call, READS[0], create):
        with pytest.raises(AuthFailed, match=code):
            again(client)
    assert len(calls) == 1


def test_a_refused_login_holds_other_processes_back_too(tmp_path: Path) -> None:
    shop = accounts.shop(PLACE, "legacy_ir")
    budget = SharedBudget(tmp_path / "budget.db", "rebound", shop.name, ceilings(shop), FixedClock(START))
    with pytest.raises(AuthFailed):
        READS[0](answering(error("access_denied"), budget=budget))
    with pytest.raises(RateLimited):
        READS[0](answering(error("empty"), budget=budget))
    budget.close()


@pytest.mark.parametrize("call", READS)
def test_nothing_found_is_an_error_code_and_no_error(call: Callable[[ReboundClient], Any]) -> None:
    assert call(answering(error("empty"))) == []
    assert call(answering({"error": [error("empty")["error"]]})) == []


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("code", ["request_wrong", "json_invalid", "unknown_call", "request_empty", "never_heard_of"])
def test_a_refused_read_names_the_code(call: Callable[[ReboundClient], object], code: str) -> None:
    with pytest.raises(SourceRefused, match=code):
        call(answering(error(code)))


@pytest.mark.parametrize("call", READS)
def test_a_failure_inside_is_asked_again_another_time(call: Callable[[ReboundClient], object]) -> None:
    with pytest.raises(SourceUnreachable, match="next run"):
        call(answering(error("internal")))


@pytest.mark.parametrize("code", ["request_wrong", "xml_invalid", "never_heard_of"])
def test_a_refused_write_was_not_applied(code: str) -> None:
    with pytest.raises(SourceRefused, match=code):
        create(answering(error(code)))


@pytest.mark.parametrize(
    "body", [error("internal"), {}, [], {"success": {}}, {"success": {"tracking": "T"}}, {"success": None}]
)
def test_a_write_whose_answer_names_no_return_is_unclear(body: object) -> None:
    with pytest.raises(OutcomeUnknown, match=r"[Rr]ead back"):
        create(answering(body))


@pytest.mark.parametrize("status", [200, 500, 502])
def test_a_write_without_an_envelope_is_unclear_and_sent_once(status: int) -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(status, text="<html>busy</html>")

    with pytest.raises(OutcomeUnknown):
        create(answering(answer))
    assert len(calls) == 1


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("body", [{}, [], {"success": {"id": {}}}, {"success": {"id": [None]}}, {"success": []}])
def test_a_read_of_another_form_is_a_broken_contract(call: Callable[[ReboundClient], object], body: object) -> None:
    with pytest.raises(ContractBroken):
        call(answering(body))


@pytest.mark.parametrize("track", ["text", {"tracking": {"track": "text"}}, {"tracking": None}])
def test_a_tracking_of_another_form_is_a_broken_contract(track: object) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        is_tracking = "/tracking/" in request.url.path
        return httpx.Response(200, json={"success": track if is_tracking else {"id": "1", "tracking": "T"}})

    with pytest.raises(ContractBroken):
        list(answering(answer).returns_by_id(["1"]))


def test_a_filter_that_was_not_heard_gives_no_return_of_others() -> None:
    """Nobody documents the filter: whatever it finds is looked at."""

    def answer(request: httpx.Request) -> httpx.Response:
        if "/search/" in request.url.path:
            return httpx.Response(200, json={"success": {"id": [1, "2"]}})
        asked = msgspec.json.decode(parse_qs(request.content.decode())["request"][0])["return"]["id"]
        return httpx.Response(200, json={"success": {"id": asked, "external_id": f"RT-{asked}"}})

    assert answering(answer).find_by_key("RT-2", "ORDER-1-A") == ["2"]
    with pytest.raises(ContractBroken, match="not heard"):
        answering({"success": {"id": list(range(1, 100))}}).find_by_key("RT-2", "ORDER-1-A")


def test_every_call_counts_against_one_ceiling(tmp_path: Path) -> None:
    shop = accounts.shop(PLACE, "legacy_ir", calls_per_minute=10)
    clock = FixedClock(START)
    budget = SharedBudget(tmp_path / "budget.db", "rebound", shop.name, ceilings(shop), clock)
    client = answering(
        lambda request: httpx.Response(
            200,
            json={"success": {"id": [str(number) for number in range(9)]}}
            if "search" in request.url.path
            else error("empty"),
        ),
        budget=budget,
    )
    list(client.returns(*TODAY))
    assert clock.now() - START >= timedelta(seconds=60)  # the tenth call waited for the first to leave the window
    budget.close()


def test_login_and_key_show_in_no_message() -> None:
    echo = {"error": {"code": "request_wrong", "message": "login sandbox-login key sandbox-rebound-key"}}
    with pytest.raises(SourceRefused) as refusal:
        list(answering(echo).returns(*TODAY))
    assert "sandbox-" not in f"{refusal.value} {refusal.value.excerpt}"


def test_bad_arguments_name_the_mend() -> None:
    with pytest.raises(BadArgument, match="swap"):
        list(answering({}).returns(START, START - timedelta(days=1)))
    with pytest.raises(BadArgument, match="empty"):
        answering({}).find_by_key("", "ORDER-1-A")
