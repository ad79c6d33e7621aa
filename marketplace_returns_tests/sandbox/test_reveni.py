"""The Reveni face over HTTP: creation, reading, verdicts, webhooks, and every refusal once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)

Json = dict[str, Any]


class Store:
    """A client of the tests' own."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        config = sandbox.world.config
        self.http = httpx.Client(
            base_url=f"{sandbox.base_url}/reveni/merchants/v0/stores/{config.reveni_store_id}/",
            headers={"Authorization": f"Bearer {config.reveni_api_key}"},
            timeout=10,
        )
        self.skus = list(sandbox.world.products)

    def payload(self, external_id: str = "RT-1", lines: int = 1) -> Json:
        return {
            "external_id": external_id,
            "order": {"external_id": "ORDER-1-A", "name": "ORDER-1"},
            "currency": "GBP",
            "return_items": [
                {
                    "external_id": f"ORDER-1-A-{number}",
                    "sku": self.skus[number],
                    "quantity": 1,
                    "unit_price": "12.50",
                    "tax_amount": "2.08",
                    "return_reason": "size",
                }
                for number in range(lines)
            ],
        }

    def create(self, external_id: str = "RT-1", lines: int = 1) -> Json:
        response = self.http.post("returns", json=self.payload(external_id, lines))
        assert response.status_code == 201
        return dict(response.json())

    def judge(self, made: Json, *statuses: str) -> Any:
        items = [
            {"item_id": item["id"], "quantity": item["quantity"], "status": status, "reject_reason": "defect"}
            for item, status in zip(made["return_items"], statuses, strict=False)
        ]
        return self.http.post(f"returns/{made['id']}/partial_validate", json={"items": items})


Open = Callable[..., Store]


@pytest.fixture
def a_store() -> Iterator[Open]:
    """Starts sandboxes with changes to the config."""
    with ExitStack() as stack:

        def start(**changes: object) -> Store:
            config = WorldConfig(start=START, orders=1, skus=5, **changes)  # type: ignore[arg-type]
            store = Store(stack.enter_context(running_sandbox(config)))
            stack.enter_context(store.http)
            return store

        yield start


@pytest.fixture
def store(a_store: Open) -> Store:
    return a_store()


def test_a_created_return_has_a_label_and_the_documented_shape(store: Store) -> None:
    made = store.create()
    assert set(made) == {
        "id", "status", "type", "is_instant", "created_at", "updated_at", "shipped_at", "received_at", "resolved_at",
        "currency", "total_amount", "refund_amount", "order", "restock_choice", "return_items", "delivery", "refunds",
    }  # fmt: skip
    assert set(made["return_items"][0]) == {
        "id", "sku", "received_sku", "quantity", "unit_price", "tax_amount", "return_reason", "exchange", "status",
        "reject_reason", "reject_reason_text",
    }  # fmt: skip
    assert (made["status"], made["type"], made["total_amount"], made["refunds"]) == (
        "in_progress",
        "refund",
        "12.50",
        [],
    )
    assert made["created_at"] == "2026-07-01T08:00:00Z"
    assert made["delivery"]["label_url"]
    assert made["order"] == {"external_id": "ORDER-1-A", "name": "ORDER-1"}
    assert store.http.get(f"returns/{made['id']}").json() == made


def test_the_same_external_id_again_is_a_conflict_naming_the_return_that_stands(store: Store) -> None:
    made = store.create()
    again = store.http.post("returns", json=store.payload())
    assert (again.status_code, again.json()["id"]) == (409, made["id"])
    assert "RT-1" in again.json()["detail"]
    assert store.http.get("returns").json()["count"] == 1


def changed(payload: Json, path: str, value: object) -> Json:
    *parents, last = path.split(".")
    part: Any = payload
    for name in parents:
        part = part[int(name)] if name.isdigit() else part[name]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return payload


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("external_id", None, "external_id"),
        ("order", None, "order"),
        ("order.external_id", 7, "order.external_id"),
        ("currency", "EUR", "currency"),
        ("return_items", [], "return_items"),
        ("return_items", ["x"], "return_items"),
        ("return_items.0.sku", "NOPE", "return_items[0].sku"),
        ("return_items.0.sku", None, "return_items[0].sku"),
        ("return_items.0.quantity", 0, "return_items[0].quantity"),
        ("return_items.0.quantity", True, "return_items[0].quantity"),
        ("return_items.0.quantity", None, "return_items[0].quantity"),
        ("return_items.0.unit_price", 12.5, "return_items[0].unit_price"),
        ("return_items.0.unit_price", "12.505", "return_items[0].unit_price"),
        ("return_items.0.unit_price", "-1.00", "return_items[0].unit_price"),
        ("return_items.0.tax_amount", None, "return_items[0].tax_amount"),
        ("return_items.0.return_reason", " ", "return_items[0].return_reason"),
    ],
)
def test_a_creation_that_lacks_something_names_the_field_and_creates_nothing(
    store: Store, path: str, value: object, field: str
) -> None:
    response = store.http.post("returns", json=changed(store.payload(), path, value))
    assert response.status_code == 422
    assert field in {error["field"] for error in response.json()["errors"]}
    assert store.http.get("returns").json()["count"] == 0


def test_a_body_that_is_no_json_object_is_refused(store: Store) -> None:
    for body in (b"{", b"[]", b""):
        assert store.http.post("returns", content=body).status_code == 422


def test_key_and_store_are_checked_in_this_order(store: Store) -> None:
    wrong_key = {"Authorization": "Bearer x"}
    assert store.http.get("returns", headers=wrong_key).status_code == 401
    other = f"{store.sandbox.base_url}/reveni/merchants/v0/stores/other/returns"
    assert store.http.get(other, headers=wrong_key).status_code == 401
    response = store.http.get(other)
    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})
    assert store.http.get("returns/unknown").status_code == 404


def test_pages_link_to_each_other_and_hold_each_return_once(store: Store) -> None:
    for number in range(5):
        store.create(f"RT-{number}")
    seen: list[str] = []
    url: str | None = "returns?page=1&page_size=2"
    while url is not None and len(seen) < 10:
        page = store.http.get(url).json()
        assert page["count"] == 5
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert len(seen) == len(set(seen)) == 5
    assert "page=2" in page["previous"]
    assert store.http.get("returns?page=9").status_code == 404


def test_updated_days_are_whole_and_both_inclusive(store: Store) -> None:
    first = store.create("RT-1")
    store.sandbox.advance(timedelta(days=1))
    second = store.create("RT-2")

    def ids(query: str) -> list[str]:
        return [row["id"] for row in store.http.get(f"returns?{query}").json()["results"]]

    assert ids("updated_from=2026-07-01&updated_to=2026-07-01") == [first["id"]]
    assert ids("updated_from=2026-07-02&updated_to=2026-07-02") == [second["id"]]
    assert ids("updated_from=2026-07-01") == [first["id"], second["id"]]
    assert store.judge(first, "accepted").status_code == 200
    assert set(ids("updated_from=2026-07-02")) == {first["id"], second["id"]}
    assert ids("updated_from=2026-07-02&status=accepted,rejected") == [first["id"]]
    assert ids("external_id=RT-2") == [second["id"]]
    assert ids("external_id=RT-9") == []
    assert ids("external_id=RT-2&updated_to=2026-07-01") == []


@pytest.mark.parametrize("query", ["updated_from=01/07/2026", "page=0", "page=x", "page_size=101", "page=1111111111"])
def test_a_bad_filter_is_refused_with_its_name(store: Store, query: str) -> None:
    response = store.http.get(f"returns?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        (("accepted", "accepted"), "accepted"),
        (("rejected", "rejected"), "rejected"),
        (("accepted", "rejected"), "partly_accepted"),
        (("accepted",), "in_progress"),
    ],
)
def test_verdicts_per_line_decide_the_return(store: Store, statuses: tuple[str, ...], outcome: str) -> None:
    judged = store.judge(store.create(lines=2), *statuses).json()
    assert judged["status"] == outcome
    assert (judged["resolved_at"] is None) == (outcome == "in_progress")
    assert [item["status"] for item in judged["return_items"]][: len(statuses)] == list(statuses)
    assert judged["refunds"] == []


def test_the_units_of_one_line_can_be_judged_apart(store: Store) -> None:
    payload = store.payload()
    payload["return_items"][0]["quantity"] = 3
    made = store.http.post("returns", json=payload).json()
    item_id = made["return_items"][0]["id"]
    items = [
        {"item_id": item_id, "quantity": 2, "status": "accepted"},
        {"item_id": item_id, "quantity": 1, "status": "rejected", "reject_reason": "defect"},
    ]
    url = f"returns/{made['id']}/partial_validate"
    assert store.http.post(url, json={"items": items[:1]}).status_code == 422
    judged = store.http.post(url, json={"items": items}).json()
    assert (judged["status"], judged["return_items"][0]["status"]) == ("partly_accepted", "accepted")
    assert judged["return_items"][0]["reject_reason"] == "defect"
    assert store.http.post(url, json={"items": items}).status_code == 422


def test_a_wrong_verdict_is_refused_whole(store: Store) -> None:
    made = store.create(lines=2)
    assert store.judge(made, "accepted", "perhaps").status_code == 422
    assert store.http.get(f"returns/{made['id']}").json() == made
    url = f"returns/{made['id']}/partial_validate"
    item = {"item_id": made["return_items"][0]["id"], "quantity": 1, "status": "rejected"}
    for body in (
        {"items": [item]},
        {"items": [item | {"item_id": "unknown", "reject_reason": "defect"}]},
        {"items": [item | {"quantity": 5, "reject_reason": "defect"}]},
        {"items": [item | {"status": "accepted"}], "restock_choice": "burn"},
        {"items": []},
        {},
    ):
        response = store.http.post(url, json=body)
        assert response.status_code == 422
        assert response.json()["errors"]
    assert store.judge({"id": "unknown", "return_items": []}).status_code == 404


def test_accepting_pays_nobody_unless_the_stores_own_refunds_are_on(store: Store, a_store: Open) -> None:
    assert store.http.get("settings").json() == {"auto_refund": False, "currency": "GBP"}
    paying = a_store(platform_refunds=True, platform_amount_differs_rate=0.0)
    assert paying.http.get("settings").json()["auto_refund"] is True
    (refund,) = paying.judge(paying.create(), "accepted").json()["refunds"]
    assert (refund["amount"], refund["currency"], refund["status"]) == ("12.50", "GBP", "executed")
    assert (refund["executed_at"], refund["is_advance"]) == ("2026-07-01T08:00:00Z", False)


def test_the_platforms_own_figure_may_differ_from_the_marketplaces(a_store: Open) -> None:
    made = a_store(platform_amount_differs_rate=1.0).create()
    assert made["refund_amount"] != made["total_amount"]


def test_webhooks_are_subscribed_per_store_and_forgotten_once(store: Store) -> None:
    body = {"event_types": ["return.updated"], "url": "http://localhost/hook"}
    made = store.http.post("webhooks", json=body)
    assert made.status_code == 201
    assert {key: made.json()[key] for key in body} == body
    path = f"webhooks/{made.json()['id']}"
    assert [store.http.delete(path).status_code for _ in range(2)] == [204, 404]
    for wrong in ({"url": "ftp://x"}, {"event_types": ["refund.paid"]}, {"event_types": []}):
        assert store.http.post("webhooks", json=body | wrong).status_code == 422
