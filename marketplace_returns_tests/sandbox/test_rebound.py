"""The ReBound face over HTTP: both generations, their parcels, and every refusal once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.returns_platform import PlatformReturn
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
Json = dict[str, Any]


class Account:
    """A client of the tests' own."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        config = sandbox.world.config
        self.login = {"login": config.rebound_login, "api_key": config.rebound_api_key}
        self.http = httpx.Client(base_url=f"{sandbox.base_url}/rebound/", timeout=10)
        self.sku = next(iter(sandbox.world.products))
        self.token = ""

    def ask(self, path: str, request: object, **form: str) -> Json:
        text = request if isinstance(request, str) else json.dumps(request)
        response = self.http.post(f"api/{path}", data={**self.login, "request": text, **form})
        assert response.status_code == 200
        return dict(response.json())

    def refusal(self, path: str, request: object, **form: str) -> str:
        return str(self.ask(path, request, **form)["error"]["code"])

    def create(self, key: str = "RT-1", **changes: object) -> str:
        item = {
            "sku_code": self.sku,
            "quantity": "2",
            "price": "12.50",
            "reason": [{"reason": "size"}],
            "custom_fields": {"field2": "L-1"},
        }
        wanted = {"external_id": key, "order_reference": "ORDER-1", "item": [item | changes]}
        return str(self.ask("returns/create/json", {"return": wanted})["success"]["id"])

    def get(self, return_id: str) -> Json:
        return dict(self.ask("returns/get/json", {"return": {"id": return_id, "type": "id"}})["success"])

    def found(self, return_id: str) -> PlatformReturn:
        return self.sandbox.world.platform.returns[return_id]

    def travel(self, return_id: str, *outcomes: str) -> None:
        """Let a parcel be posted, arrive a day later, and be opened another hour later."""
        world, found = self.sandbox.world, self.found(return_id)
        self.sandbox.do(lambda: world.platform.mark_shipped(found))
        self.sandbox.advance(timedelta(days=1))
        self.sandbox.do(lambda: world.platform.mark_received(found))
        self.sandbox.advance(timedelta(hours=1))
        self.sandbox.do(lambda: world.platform.mark_inspected(found, {"L-1": list(outcomes)}))

    def sign_in(self, **changes: str) -> httpx.Response:
        config = self.sandbox.world.config
        form = {
            "grant_type": "client_credentials",
            "client_id": config.rebound_client_id,
            "client_secret": config.rebound_client_secret,
        }
        response = self.http.post("oauth/token", data=form | changes)
        self.token = response.json().get("access_token", "")
        return response

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(method, path, headers={"Authorization": f"Bearer {self.token or 'none'}"}, **options)

    def order(self, key: str, **changes: object) -> httpx.Response:
        line = {"sku": self.sku, "quantity_expected": 2, "unit_price": "12.50", "external_reference": "L-1"}
        body = {"external_reference": key, "order_number": "ORDER-1", "lines": [line | changes]}
        return self.call("POST", "return-orders", json=body)


@pytest.fixture(params=[1.0])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    config = WorldConfig(start=START, orders=1, skus=5, platform="rebound", rebound_hub_rate=request.param)
    with running_sandbox(config) as sandbox:
        found = Account(sandbox)
        yield found
        found.http.close()


def test_everything_the_older_api_tells_of_a_return_is_text(account: Account) -> None:
    shown = account.get(account.create())
    (item,) = shown.pop("item")
    assert all(isinstance(value, str) for value in shown.values())
    assert (item["quantity"], item["price"], item["final_disposition"]) == ("2", "12.50", "")
    assert (shown["date_added"], shown["current_tracking_status"]) == ("2026-07-01 08:00:00", "created")
    assert base64.b64decode(shown["label"], validate=True).startswith(b"%PDF")


def test_a_search_knows_days_of_creation_and_no_change(account: Account) -> None:
    made = account.create()
    account.sandbox.advance(timedelta(days=3))
    account.travel(made, "new", "new")

    def search(**filters: str) -> Json:
        return account.ask("returns/search/json", {"filter": filters})

    assert search(date_from="2026/07/01", date_to="2026/07/01")["success"] == {"id": [made]}
    assert search(date_from="2026/07/02", date_to="2026/07/31")["error"]["code"] == "empty"
    assert search(external_id="RT-1")["success"] == search(order_reference="ORDER-1")["success"] == {"id": [made]}
    assert search(external_id="RT-2")["error"]["code"] == "empty"


def test_a_second_return_under_a_key_is_made(account: Account) -> None:
    made = [account.create("RT-1"), account.create("RT-1")]
    assert made[0] != made[1]
    found = account.ask("returns/search/json", {"filter": {"external_id": "RT-1"}})["success"]["id"]
    assert sorted(found) == sorted(made)


@pytest.mark.parametrize(
    ("account", "way", "milestone", "who"),
    [
        (1.0, ["created", "in_transit", "at_hub", "processed"], "Arrived at Our Hub", "hub"),
        (0.0, ["created", "in_transit", "delivered", "processed"], "Delivered", "warehouse"),
    ],
    ids=["via the hub", "direct to the retailer"],
    indirect=["account"],
)
def test_a_parcel_takes_one_of_two_ways(account: Account, way: list[str], milestone: str, who: str) -> None:
    made = account.create()
    account.sign_in()
    world, found = account.sandbox.world, account.found(made)
    account.sandbox.do(lambda: world.platform.mark_shipped(found))
    account.sandbox.do(lambda: world.platform.mark_received(found))
    assert account.call("GET", f"return-orders/{made}").json()["milestone"] == milestone
    account.sandbox.do(lambda: world.platform.mark_inspected(found, {"L-1": ["new", "new"]}))
    track = account.ask("tracking/get/json", {"tracking": {"code": account.get(made)["tracking"]}})["success"]["track"]
    assert [event["status"] for event in track] == way
    assert account.get(made)["verification_entity"] == who


@pytest.mark.parametrize(
    ("outcomes", "word", "came"),
    [
        (["new", "new"], "sellable", 2),
        (["new", "damaged"], "damaged", 2),
        (["missing", "missing"], "missing", 0),
        (["quarantine", "new"], "quarantine", 2),
    ],
)
def test_an_item_has_one_disposition_and_two_figures(
    account: Account, outcomes: list[str], word: str, came: int
) -> None:
    made = account.create()
    account.sign_in()
    (before,) = account.call("GET", f"return-orders/{made}").json()["lines"]
    assert (before["quantity_expected"], before["quantity_received"], before["disposition"]) == (2, None, None)
    account.travel(made, *outcomes)
    account.sign_in()
    (after,) = account.call("GET", f"return-orders/{made}").json()["lines"]
    assert (after["quantity_expected"], after["quantity_received"], after["disposition"]) == (2, came, word)
    assert account.get(made)["item"][0]["final_disposition"] == word


@pytest.mark.parametrize(
    ("path", "request_", "form", "code"),
    [
        ("returns/get/json", {}, {"login": ""}, "login_empty"),
        ("returns/get/json", {}, {"api_key": ""}, "api_key_empty"),
        ("returns/get/json", {}, {"api_key": "wrong"}, "access_denied"),
        ("returns/get/json", "", {}, "request_empty"),
        ("returns/get/json", "{", {}, "json_invalid"),
        ("returns/get/json", "[]", {}, "json_invalid"),
        ("returns/get/xml", {}, {}, "unknown_call"),
        ("returns/other/json", {}, {}, "unknown_call"),
        ("returns/get/json", {"return": {"id": "1", "type": "id"}}, {}, "empty"),
        ("returns/get/json", {"return": {"id": "1"}}, {}, "request_wrong"),
        ("returns/search/json", {"filter": {}}, {}, "request_wrong"),
        ("returns/search/json", {"filter": {"date_from": "2026-07-01"}}, {}, "request_wrong"),
        ("returns/create/json", {"return": {"order_reference": "O", "item": []}}, {}, "request_wrong"),
        ("returns/create/json", {"return": {"order_reference": "O" * 256}}, {}, "request_wrong"),
        ("tracking/get/json", {"tracking": {"code": "none"}}, {}, "empty"),
    ],
)
def test_a_call_that_is_wrong_is_refused_by_code(
    account: Account, path: str, request_: object, form: dict[str, str], code: str
) -> None:
    assert account.refusal(path, request_, **form) == code


def test_an_address_with_many_wrong_logins_is_blocked_for_an_hour(account: Account) -> None:
    for _ in range(5):
        assert account.refusal("returns/get/json", {}, api_key="wrong") == "access_denied"
    wanted = {"return": {"id": "1", "type": "id"}}
    assert account.refusal("returns/get/json", wanted) == "ip_blocked"
    account.sandbox.advance(timedelta(hours=1))
    assert account.refusal("returns/get/json", wanted) == "empty"


def test_a_token_runs_out(account: Account) -> None:
    assert account.call("GET", "return-orders").status_code == 401
    assert account.sign_in().json()["expires_in"] == 1800
    assert account.call("GET", "return-orders").status_code == 200
    account.sandbox.advance(timedelta(minutes=30))
    assert account.call("GET", "return-orders").status_code == 401
    assert account.sign_in(client_secret="wrong").status_code == 401
    assert account.sign_in(grant_type="password").status_code == 400


def test_an_order_may_have_several_return_orders_the_newest_first(account: Account) -> None:
    account.sign_in()
    first = account.order("RT-1").json()["id"]
    account.sandbox.advance(timedelta(minutes=1))
    second, third = account.order("RT-2").json()["id"], account.order("RT-2")
    assert third.status_code == 201  # nothing is compared
    page = account.call("GET", "return-orders", params={"order_number": "ORDER-1", "page_size": 2}).json()
    assert (page["page"], page["pages"], len(page["items"])) == (1, 2, 2)
    last = account.call("GET", "return-orders", params={"order_number": "ORDER-1", "page_size": 2, "page": 2}).json()
    assert [item["id"] for item in last["items"]] == [first]
    assert second in [item["id"] for item in page["items"]]
    changed = account.call("GET", "return-orders", params={"updated_since": "2026-07-01T08:00:30Z"}).json()
    assert first not in [item["id"] for item in changed["items"]]


def test_the_newer_api_refuses_what_is_wrong(account: Account) -> None:
    account.sign_in()
    assert account.order("RT-1", sku="unknown").status_code == 422
    assert account.order("RT-1", quantity_expected=0).status_code == 422
    assert account.order("RT-1", unit_price="1.234").status_code == 422
    assert account.call("POST", "return-orders", content=b"{").status_code == 422
    assert account.call("POST", "return-orders", json={"order_number": "O", "lines": []}).status_code == 422
    assert account.call("GET", "return-orders", params={"updated_since": "yesterday"}).status_code == 422
    assert account.call("GET", "return-orders", params={"page_size": 101}).status_code == 422
    assert account.call("GET", "return-orders/none").status_code == 404


def test_the_gate_tells_reads_from_writes_though_all_are_posted(account: Account) -> None:
    made = account.create()
    account.get(made)
    account.sign_in()
    account.order("RT-2")
    gate = account.sandbox.gate
    assert dict(gate.writes) == {("rebound", "returns/create"): 1, ("rebound", "POST return-orders"): 1}
    assert gate.calls["rebound", "returns/get"] == gate.calls["rebound", "token"] == 1
