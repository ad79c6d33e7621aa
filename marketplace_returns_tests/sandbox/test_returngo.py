"""The ReturnGO face over HTTP: headers, quota, filters, cursors, the life of an RMA, and every refusal once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.returns_platform import PlatformReturn
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)

Json = dict[str, Any]


class Shop:
    """A client of the tests' own; the orders of its world are with the customers, two or three units a line."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        config = self.world.config
        self.http = httpx.Client(
            base_url=f"{sandbox.base_url}/returngo/",
            headers={"x-api-key": config.returngo_api_key, "x-shop-name": config.returngo_shop_name},
            timeout=10,
        )
        sandbox.advance(timedelta(days=1))
        sandbox.do(self._deliver)
        self.orders = list(self.world.marketplace.orders.values())

    def _deliver(self) -> None:
        for order in self.world.marketplace.orders.values():
            for line in order.lines:
                line.received_at = self.world.clock.now()

    def payload(self, order: int = 0, quantity: int = 1, key: str = "RT-1") -> Json:
        line = self.orders[order].lines[0]
        item = {"sku": line.product.sku, "quantity": quantity, "returnReason": "size", "externalId": line.id}
        return {"order_name": self.orders[order].id, "externalId": key, "items": [item]}

    def create(self, order: int = 0, quantity: int = 1, key: str = "RT-1") -> str:
        response = self.http.post("rma/createByPolicy", json=self.payload(order, quantity, key))
        assert response.status_code == 201, response.text
        shown = str(response.json()["rmaId"])
        assert shown.startswith("RMA")
        return shown.removeprefix("RMA")

    def rma(self, rma_id: str) -> Json:
        return dict(self.http.get(f"rma/{rma_id}").json())

    def listed(self, **query: object) -> list[str]:
        response = self.http.get("rmas", params={"pagesize": 50, **query})  # type: ignore[arg-type]
        assert response.status_code == 200, response.text
        return [row["rmaId"].removeprefix("RMA") for row in response.json()["rmas"]]

    def happen(self, act: Callable[[PlatformReturn], object], hours: int = 1) -> None:
        """Let something happen to the newest return, some hours later."""
        self.sandbox.advance(timedelta(hours=hours))
        self.sandbox.do(lambda: act(list(self.world.platform.returns.values())[-1]))

    def inspect(self, *found: str) -> None:
        platform = self.world.platform
        self.happen(platform.mark_shipped)
        self.happen(platform.mark_received)
        self.happen(lambda one: platform.mark_inspected(one, {line.external_id: found for line in one.lines}))


Open = Callable[..., Shop]


@pytest.fixture
def a_shop() -> Iterator[Open]:
    with ExitStack() as stack:

        def start(**changes: Any) -> Shop:
            options = {"orders": 4, "days": 1, "skus": 5, "multi_unit_rate": 1.0, "lines_per_order": 1.0} | changes
            config = WorldConfig(start=START, platform="returngo", **options)
            shop = Shop(stack.enter_context(running_sandbox(config)))
            stack.enter_context(shop.http)
            return shop

        yield start


@pytest.fixture
def shop(a_shop: Open) -> Shop:
    return a_shop()


def test_both_headers_are_needed_and_told_apart(shop: Shop) -> None:
    assert shop.http.get("webhooks", headers={"x-api-key": "other"}).status_code == 401
    assert shop.http.get("webhooks", headers={"x-shop-name": "other.shop.test"}).status_code == 403
    bare = httpx.get(f"{shop.http.base_url}webhooks")
    assert (bare.status_code, bare.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize("pagesize", ["", "0", "501", "-1", "ten"])
def test_the_page_size_must_be_given_within_bounds(shop: Shop, pagesize: str) -> None:
    assert shop.http.get("rmas", params={"pagesize": pagesize}).status_code == 400
    assert shop.http.get("rmas").status_code == 400


def test_pages_follow_a_base64_cursor_on_the_id(shop: Shop) -> None:
    made = [shop.create(number, key=f"RT-{number}") for number in range(3)]
    first = shop.http.get("rmas", params={"pagesize": 2}).json()
    assert base64.b64decode(first["next_cursor"]).decode() == f"returns.id:{made[1]}"
    second = shop.http.get("rmas", params={"pagesize": 2, "cursor": first["next_cursor"]}).json()
    assert [row["rmaId"] for row in second["rmas"]] == [f"RMA{made[2]}"]
    assert second["next_cursor"] is None
    for bad in ("nonsense", base64.b64encode(b"9").decode()):
        assert shop.http.get("rmas", params={"pagesize": 2, "cursor": bad}).status_code == 400


def test_rows_are_filtered_by_operator_and_instant_status_and_order(shop: Shop) -> None:
    first = shop.create(0)
    created = shop.world.clock.now()
    shop.sandbox.advance(timedelta(hours=2))
    second = shop.create(1, key="RT-2")
    bound = f"{created:%Y-%m-%dT%H:%M:%S}"
    expected = {"lt": [], "lte": [first], "eq": [first], "gt": [second], "gte": [first, second], "neq": [second]}
    for word, found in expected.items():
        assert shop.listed(rma_updated_at=f"{word}:{bound}") == found
        assert shop.listed(rma_created_at=f"{word}:{bound}") == found
    assert shop.listed(status="Approved,Done") == [first, second]
    assert shop.listed(status="Done") == []
    assert shop.listed(order_name=shop.orders[1].id) == [second]
    for bad in ("since:" + bound, "gte:2026-07-01", "gte"):
        assert shop.http.get("rmas", params={"pagesize": 9, "rma_updated_at": bad}).status_code == 400


def test_an_rma_has_one_element_per_unit_and_a_validation_block_before_any_inspection(shop: Shop) -> None:
    found = shop.rma(shop.create(quantity=2))
    assert set(found["rmaSummary"]) == {"rmaId", "status", "order_name", "events"}
    assert len({item["returnedItemId"] for item in found["items"]}) == 2
    for item in found["items"]:
        block = item["itemValidationStatusResponse"]
        assert (block["isReturned"], block["isRestockable"], block["lastValidationDate"]) == (False, False, None)
        assert item["isAutoApprove"] == 1
        assert "quantity" not in item
    assert found["isOutOfPolicy"] == 0
    assert isinstance(found["isOutOfPolicy"], int)
    assert not isinstance(found["isOutOfPolicy"], bool)
    assert found["rmaSummary"]["events"][0]["userDetails"] is None


def test_last_updated_stands_still_when_the_shipment_changes(shop: Shop) -> None:
    rma_id = shop.create()
    before = shop.rma(rma_id)
    assert before["shipments"][0]["status"] == "LabelCreated"
    shop.happen(shop.world.platform.mark_shipped)
    after = shop.rma(rma_id)
    assert (after["shipments"][0]["status"], after["lastUpdated"]) == ("Shipped", before["lastUpdated"])
    shop.happen(shop.world.platform.mark_received)
    assert shop.rma(rma_id)["lastUpdated"] > before["lastUpdated"]
    assert shop.rma(rma_id)["rmaSummary"]["status"] == "Received"


def test_what_was_found_of_each_unit_is_told_and_the_refund_of_what_came_back_waits(shop: Shop) -> None:
    rma_id = shop.create(quantity=2)
    shop.inspect("wrong_item", "missing")
    found = shop.rma(rma_id)
    blocks = [item["itemValidationStatusResponse"] for item in found["items"]]
    assert [(block["isReturned"], block["isRestockable"]) for block in blocks] == [(True, False), (False, False)]
    assert (blocks[0]["nonRestockableReason"], blocks[1]["nonReturnedReason"]) == ("Wrong item", "Missing")
    assert all(block["lastValidationDate"] for block in blocks)
    assert found["rmaSummary"]["status"] == "Validated"
    (waiting,) = found["transactions"]
    assert (waiting["status"], waiting["returnItemIds"]) == ("Requested", [found["items"][0]["returnedItemId"]])
    assert isinstance(waiting["id"], int)


def test_a_transaction_is_settled_once_and_the_rma_is_done_with_the_last(shop: Shop) -> None:
    rma_id = shop.create()
    shop.inspect("new")
    (waiting,) = shop.http.get("transactions", params={"pagesize": 9, "rma_ids": rma_id}).json()["transactions"]
    path = f"transaction/{waiting['id']}"
    told = {"status": "Success", "externalReferenceId": "R-1", "externalReferenceType": "MiraklRefundId"}
    assert shop.http.put(path, json={"status": "Success"}).status_code == 400
    assert shop.http.put(path, json={"status": "Paid"}).status_code == 400
    assert shop.http.put("transaction/999", json=told).status_code == 404
    assert shop.rma(rma_id)["transactions"][0]["status"] == "Requested"
    assert shop.http.put(path, json=told).status_code == 200
    assert shop.rma(rma_id)["rmaSummary"]["status"] == "Done"
    assert shop.http.put(path, json=told).status_code == 400


def test_the_portals_own_refunds_are_off_unless_switched_on(a_shop: Open) -> None:
    shop = a_shop(platform_refunds=True)
    rma_id = shop.create()
    shop.inspect("new")
    (paid,) = shop.rma(rma_id)["transactions"]
    assert (paid["status"], paid["externalReferenceType"]) == ("Success", "PlatformRefundId")


@pytest.mark.proves("R47")
def test_an_rma_is_refused_where_the_policy_does_not_allow_it(shop: Shop) -> None:
    def refused(**changes: Any) -> int:
        return shop.http.post("rma/createByPolicy", json=shop.payload() | changes).status_code

    item = shop.payload()["items"][0]
    bought = shop.orders[0].lines[0].quantity
    assert refused(order_name="NO-SUCH-ORDER") == 400
    assert refused(items=[]) == 400
    for change in ({"sku": "NO-SUCH-SKU"}, {"quantity": 0}, {"quantity": True}, {"quantity": bought + 1}):
        assert refused(items=[item | change]) == 400
    assert refused(items=[item | {"returnReason": ""}]) == 400
    shop.create(quantity=bought)
    assert refused() == 400
    assert len(shop.listed()) == 1


def test_the_same_key_again_makes_another_rma_as_nothing_says_that_it_does_not(shop: Shop) -> None:
    first, second = shop.create(), shop.create()
    assert first != second
    assert shop.rma(first)["externalId"] == shop.rma(second)["externalId"] == "RT-1"


def test_a_status_is_one_of_the_seven(shop: Shop) -> None:
    rma_id = shop.create()
    assert shop.http.put(f"rma/{rma_id}/status", json={"status": "Cancelled"}).status_code == 400
    assert shop.http.put(f"rma/{rma_id}/status", json={"status": "Canceled"}).status_code == 200
    assert shop.rma(rma_id)["rmaSummary"]["status"] == "Canceled"


def test_bad_ids_unknown_ids_and_bodies_that_are_no_objects(shop: Shop) -> None:
    assert shop.http.get("rma/RMA7").status_code == 400
    assert shop.http.get("rma/1").status_code == 404
    assert shop.http.post("rma/createByPolicy", content=b"[]").status_code == 400


def test_webhooks_are_kept_until_they_are_deleted(shop: Shop) -> None:
    assert shop.http.post("webhook", json={"eventName": "SOMETHING", "url": "https://a.example"}).status_code == 400
    made = shop.http.post("webhook", json={"eventName": "RMA_CREATED", "url": "https://a.example/token"}).json()
    assert shop.http.get("webhooks").json() == {"webhooks": [made]}
    told = shop.sandbox.do(shop.sandbox.world.notifications.shown)["subscriptions"]
    assert [(each["source"], each["event_types"]) for each in told] == [("returngo", ["RMA_CREATED"])]
    assert shop.http.delete(f"webhook/{made['id']}").status_code == 204
    assert shop.http.delete(f"webhook/{made['id']}").status_code == 404


@pytest.mark.proves("R103")
def test_the_quota_of_the_day_is_enforced_where_frequencies_are(a_shop: Open) -> None:
    shop = a_shop(strict_frequency=True, returngo_calls_per_day=3)
    remaining = [shop.http.get("webhooks").headers["x-ratelimit-remaining"] for _ in range(3)]
    assert remaining == ["2", "1", "0"]
    refused = shop.http.get("webhooks")
    assert (refused.status_code, refused.headers["Retry-After"], refused.headers["x-ratelimit-limit"]) == (
        429,
        "86400",
        "3",
    )
    shop.sandbox.advance(timedelta(days=1))
    assert shop.http.get("webhooks").status_code == 200


def test_a_hundred_calls_in_a_second_are_the_most(a_shop: Open) -> None:
    shop = a_shop(strict_frequency=True)
    statuses = [shop.http.get("webhooks").status_code for _ in range(101)]
    assert statuses == [200] * 100 + [429]
    shop.sandbox.advance(timedelta(seconds=1))
    assert shop.http.get("webhooks").status_code == 200


def test_without_strict_frequencies_the_quota_is_only_told(a_shop: Open) -> None:
    shop = a_shop(returngo_calls_per_day=1)
    assert [shop.http.get("webhooks").status_code for _ in range(3)] == [200] * 3
    assert "x-amzn-requestid" in shop.http.get("webhooks").headers


def test_calls_are_counted_by_operation_and_not_by_id(shop: Shop) -> None:
    shop.rma(shop.create())
    shop.listed()
    counted = httpx.get(f"{shop.sandbox.base_url}/sandbox/calls").json()
    assert counted["calls"]["returngo"] == {"GET rma/{id}": 1, "GET rmas": 1, "POST rma/createByPolicy": 1}
    assert counted["writes"]["returngo"] == {"POST rma/createByPolicy": 1}


def test_a_world_that_is_saved_goes_on_with_its_rmas(shop: Shop, tmp_path: Any) -> None:
    rma_id = shop.create()
    shop.inspect("new")
    before = shop.rma(rma_id)
    shop.sandbox.do(lambda: shop.world.save(tmp_path / "world"))
    with running_sandbox(state_path=tmp_path / "world") as again:
        answer = httpx.get(f"{again.base_url}/returngo/rma/{rma_id}", headers=dict(shop.http.headers))
        assert answer.json() == before
