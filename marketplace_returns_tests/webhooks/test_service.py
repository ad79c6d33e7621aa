"""What the webhook service takes and what it refuses, over real HTTP; a refusal keeps nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import socket
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as trying
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from marketplace_returns.clock import SystemClock
from marketplace_returns.settings import load_settings
from marketplace_returns.webhooks.app import description
from marketplace_returns.webhooks.inbox import Inbox
from marketplace_returns_tests.benchmarks.webhooks import SECRET, SETTINGS, SHOP, TOKEN, Service, flood, lost, service
from marketplace_returns_tests.webhooks.conftest import BODY_BYTES_MAX
from marketplace_returns_tests.webhooks.hearing import hearing

RETURNS = f"/webhooks/{SHOP}/reveni/{TOKEN}"
WAREHOUSE = f"/webhooks/{SHOP}/peoplevox/{TOKEN[::-1]}"
SCHEMA = schemathesis.openapi.from_dict(json.loads(description())).include(path_regex="^/webhooks/")
SHOPS = {"reveni": SHOP, "rebound": "rebound_uk", "returngo": "returngo_uk", "peoplevox": SHOP}


def event(number: str, **more: object) -> bytes:
    """One event of a returns platform that signs."""
    return json.dumps(
        {"id": number, "event": "return.updated", "created": 1790000000, "data": {"resource_id": "ab12"}, **more}
    ).encode()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Reveni-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def test_signed_event_is_kept_once_however_often_it_comes(served: Service, http: httpx.Client) -> None:
    body = event("once")
    for _ in range(3):
        assert http.post(RETURNS, content=body, headers=signed(body)).status_code == 200
    assert "once" in served.kept()
    assert served.rows("SELECT event_type, object_id, deliveries FROM webhook_events WHERE event_key = 'id:once'") == [
        ("return.updated", "ab12", 3)
    ]


@pytest.mark.parametrize("source", ["rebound", "returngo"])
def test_every_platform_is_heard_in_its_own_words(served: Service, http: httpx.Client, source: str) -> None:
    body = {
        "rebound": {"id": "rb-1", "type": "return_order.updated", "data": {"return_order_id": 71}},
        "returngo": {"eventId": "rg-1", "eventName": "RMA_STATUS_UPDATED", "rmaId": "81", "eventDate": "2026-10-01"},
    }[source]
    assert http.post(f"/webhooks/{source}_uk/{source}/{TOKEN}", json=body).status_code == 200
    wanted = {"rebound": ("return_order.updated", "71"), "returngo": ("RMA_STATUS_UPDATED", "81")}[source]
    assert served.rows(f"SELECT event_type, object_id FROM webhook_events WHERE source = '{source}'").count(wanted) == 1


def test_warehouse_calls_by_get_or_post_with_or_without_the_shop(served: Service, http: httpx.Client) -> None:
    query = {"event": "AvailabilityChanges", "ItemCode": "SKU 1/b", "Available": "4"}
    assert http.get(WAREHOUSE, params=query).status_code == 200
    assert http.post(f"{WAREHOUSE}?event=AvailabilityChanges", data={"ItemCode": "SKU-2"}).status_code == 200
    assert http.get(f"/webhooks/peoplevox/{TOKEN[::-1]}", params=query).status_code == 200
    kept = served.rows("SELECT object_id, deliveries FROM webhook_events WHERE event_type = 'AvailabilityChanges'")
    assert {("SKU 1/b", 2), ("SKU-2", 1)} <= set(kept)


@pytest.mark.proves("R44")
def test_nothing_personal_stays_of_what_was_told(served: Service, http: httpx.Client) -> None:
    body = event("personal", customer={"email": "jane@example.invalid", "name": "Jane Nobody"})
    assert http.post(RETURNS, content=body, headers=signed(body)).status_code == 200
    for mail in ("jane@example.invalid", "Jane Nobody <jane@example.invalid>"):
        assert http.get(WAREHOUSE, params={"event": "AvailabilityChanges", "ItemCode": mail}).status_code == 200
        named = event(mail, data={"resource_id": mail})
        assert http.post(RETURNS, content=named, headers=signed(named)).status_code == 200
    for file in (served.folder / "data").iterdir():
        assert b"example.invalid" not in file.read_bytes(), file
        assert b"Jane" not in file.read_bytes(), file
    assert TOKEN not in served.said()


@pytest.mark.proves("R44")
def test_forged_or_missing_signature_is_refused(served: Service, http: httpx.Client) -> None:
    body = event("forged")
    wrong = [
        {},
        signed(body, "another secret"),
        signed(event("other")),
        {"X-Reveni-Signature": signed(body)["X-Reveni-Signature"].removeprefix("sha256=")},
        {"X-Reveni-Signature": "sha256="},
        {"X-Reveni-Signature": f"sha256={'0' * 64}"},
        {"X-Rebound-Signature": signed(body)["X-Reveni-Signature"]},
    ]
    assert [http.post(RETURNS, content=body, headers=headers).status_code for headers in wrong] == [401] * len(wrong)
    assert "forged" not in served.kept()


@pytest.mark.proves("R44")
def test_wrong_token_shop_or_source_is_not_found_alike(served: Service, http: httpx.Client) -> None:
    body = event("lost")
    answers = [
        http.post(path, content=body, headers=signed(body))
        for path in (
            RETURNS[:-1],
            RETURNS + "x",
            RETURNS[:-1] + "%C3%A9",
            f"/webhooks/{SHOP}/rebound/{TOKEN}",
            f"/webhooks/rebound_uk/reveni/{TOKEN}",
            f"/webhooks/{SHOP}/peoplevox/{TOKEN}",
            f"/webhooks/reveni/{'x' * 30}",
        )
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, '{"status":"not found"}')}
    assert http.post(RETURNS + "/", content=body, headers=signed(body)).status_code == 404
    assert "lost" not in served.kept()


def test_too_long_a_body_is_refused_announced_or_not(served: Service, http: httpx.Client) -> None:
    body = event("long", padding="x" * BODY_BYTES_MAX)
    assert http.post(RETURNS, content=body, headers=signed(body)).status_code == 413
    assert (
        http.post(RETURNS, content=(part for part in (body[:3000], body[3000:])), headers=signed(body)).status_code
        == 413
    )
    assert "long" not in served.kept()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b"[" * 2_000, b'{"a":' * 700, b"NaN"], ids=repr
)
def test_what_is_no_json_object_is_refused(http: httpx.Client, body: bytes) -> None:
    answer = http.post(RETURNS, content=body, headers=signed(body))
    assert answer.status_code == 400
    assert "JSON" in answer.json()["status"]


def test_warehouse_call_without_its_event_or_with_too_many_fields_is_refused(http: httpx.Client) -> None:
    assert http.get(WAREHOUSE).status_code == 400
    assert http.post(WAREHOUSE + "?event=Returns", content=b"&".join([b"a=1"] * 60)).status_code == 400


def test_other_methods_are_refused_with_the_right_ones(http: httpx.Client) -> None:
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = http.request(method, RETURNS)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert http.put(WAREHOUSE).headers["allow"] == "GET, POST"


def test_slow_body_is_given_up_and_keeps_nothing(served: Service) -> None:
    body = event("slow")
    head = f"POST {RETURNS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n".encode()
    head += "".join(f"{name}: {value}\r\n" for name, value in signed(body).items()).encode() + b"\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(head + body[:10])
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert "slow" not in served.kept()


def test_sender_that_hangs_up_keeps_nothing(served: Service, http: httpx.Client) -> None:
    body = event("gone")
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(
            f"POST {RETURNS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:5]
        )
    assert http.get("/health").json() == {"status": "ok"}
    assert "gone" not in served.kept()


def test_one_sender_too_quick_is_told_to_come_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("shops.toml").write_text(SETTINGS, encoding="utf-8")
    for section, token in (("RETURNS", TOKEN), ("WAREHOUSE", TOKEN[::-1])):
        monkeypatch.setenv(f"MARKETPLACE_RETURNS__SHOPS__ASOS_UK__{section}__WEBHOOK_TOKEN", token)
    monkeypatch.setenv("MARKETPLACE_RETURNS__WEBHOOKS__EVENTS_PER_S_MAX", "3")
    settings = load_settings(Path("shops.toml"))
    with hearing(settings, SystemClock()) as url, httpx.Client(base_url=url, timeout=20) as http:
        answers = [http.post(RETURNS, content=event(str(number))) for number in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert Inbox.open(settings).count(SHOP) == len(answers) - len(refused)
        # one sender's limit is not another's
        assert http.get(WAREHOUSE, params={"event": "Returns"}).status_code == 200


@pytest.mark.proves("C8", "R44")
@pytest.mark.played
def test_no_event_that_was_answered_is_lost_by_sigkill(folder: Path) -> None:
    chance = random.Random()
    kills = (chance.uniform(0.3, 1.5),)
    with service(folder) as made:
        result = asyncio.run(flood(made, rate=150, seconds=2.0, kills=kills))
        assert result.kills == 1
        assert len(result.answered) == result.offered == 300
        assert lost(result, made.kept()) == set(), kills


@SCHEMA.parametrize()
@trying(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_that_can_be_thought_of_breaks_the_service(case: schemathesis.Case, served: Service) -> None:
    """Generated from the service's own OpenAPI description, with its real tokens: good requests and bad ones."""
    source = next((name for name in SHOPS if f"/{name}/" in case.path), "")
    if source:
        case.path_parameters = {"shop": SHOPS[source], "token": TOKEN[::-1] if source == "peoplevox" else TOKEN}
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{served.port}",
        checks=[not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance],
    )


def test_no_answer_is_kept_guessed_at_or_framed(served: Service, http: httpx.Client) -> None:
    body = event("headed")
    answers = [
        http.post(RETURNS, content=body, headers=signed(body)),
        http.post(RETURNS, content=body),
        http.post(f"/webhooks/{SHOP}/reveni/wrong", content=body),
        http.get("/health"),
        http.get("/openapi.json"),
        http.get("/nowhere"),
        http.put("/health"),
    ]
    assert [each.status_code for each in answers] == [200, 401, 404, 200, 200, 404, 405]
    for each in answers:
        assert each.headers["cache-control"] == "no-store", each.url
        assert each.headers["x-content-type-options"] == "nosniff", each.url
        assert each.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'", each.url
        assert each.headers["x-frame-options"] == "DENY", each.url
        assert each.headers["referrer-policy"] == "no-referrer", each.url
