"""Faults, frequencies and the control API: what goes wrong goes wrong as asked, and effects are as promised."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from marketplace_returns.sandbox.faults import FaultRule, profile, read_rule
from marketplace_returns_tests.sandbox.conftest import SellerMaker
from marketplace_returns_tests.sandbox.seller import Seller


@pytest.fixture
def seller(make_seller: SellerMaker) -> Seller:
    """A shop with a day of orders waiting."""
    made = make_seller(days=1)
    made.sandbox.advance(timedelta(days=1))
    return made


def accept_one(seller: Seller) -> httpx.Response:
    order = seller.orders(order_state_codes="WAITING_ACCEPTANCE")[0]
    lines = [{"id": line["order_line_id"], "accepted": True} for line in order["order_lines"]]
    return seller.put(f"/api/orders/{order['order_id']}/accept", {"order_lines": lines})


def accepted(seller: Seller) -> int:
    return sum(1 for order in seller.world.marketplace.orders.values() if order.state != "WAITING_ACCEPTANCE")


@pytest.mark.parametrize(
    ("kind", "applied"),
    [("reset", 0), ("reset_after", 1), ("timeout", 0), ("timeout_after", 1), ("truncated", 1)],
)
def test_a_lost_connection_loses_the_answer_and_only_an_after_keeps_the_effect(
    seller: Seller, kind: str, applied: int
) -> None:
    seller.sandbox.add_fault(FaultRule(kind, operation="OR21", times=1, delay_s=0.05))
    with pytest.raises(httpx.TransportError):
        accept_one(seller)
    assert accepted(seller) == applied
    assert accept_one(seller).status_code == 204, "the rule was for one call"


def test_a_rule_about_something_hits_only_the_calls_that_name_it_and_leaves_their_body_whole(seller: Seller) -> None:
    first, second = seller.orders(order_state_codes="WAITING_ACCEPTANCE")[:2]
    line_id = second["order_lines"][0]["order_line_id"]
    seller.sandbox.add_fault(FaultRule("http_500_before", operation="OR21", about=f'"{line_id}"', times=1))
    told = []
    for order in (first, second, second):
        lines = [{"id": line["order_line_id"], "accepted": True} for line in order["order_lines"]]
        told.append(seller.put(f"/api/orders/{order['order_id']}/accept", {"order_lines": lines}).status_code)
    assert told == [204, 500, 204]


def test_an_answer_of_another_shape_does_nothing(seller: Seller) -> None:
    seller.sandbox.add_fault(FaultRule("other_shape", operation="OR21", times=1))
    answer = accept_one(seller)
    assert (answer.status_code, answer.json(), accepted(seller)) == (200, {"changed": True}, 0)


def test_a_rule_lets_the_calls_by_that_it_is_to_skip(seller: Seller) -> None:
    seller.sandbox.add_fault(FaultRule("http_500_before", operation="OR21", skip=1, times=1))
    assert [accept_one(seller).status_code for _ in range(3)] == [204, 500, 204]


@pytest.mark.parametrize(
    ("kind", "status", "applied"),
    [
        ("http_500_before", 500, 0),
        ("http_500_after", 500, 1),
        ("http_502_html", 502, 0),
        ("http_502_html_after", 502, 1),
        ("http_429", 429, 0),
        ("http_429_no_retry_after", 429, 0),
    ],
)
def test_an_error_answer_says_nothing_of_the_effect(seller: Seller, kind: str, status: int, applied: int) -> None:
    seller.sandbox.add_fault(FaultRule(kind, system="mirakl", operation="OR21", times=1, retry_after_s=7))
    reply = accept_one(seller)
    assert reply.status_code == status
    assert accepted(seller) == applied
    assert reply.headers.get("retry-after") == ("7" if kind == "http_429" else None)


def test_a_truncated_page_cannot_be_read(seller: Seller) -> None:
    seller.sandbox.add_fault(FaultRule("truncated", operation="OR11", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        seller.http.get("/api/orders")
    assert seller.http.get("/api/orders").status_code == 200


def test_rules_are_checked_and_profiles_are_repeatable() -> None:
    with pytest.raises(ValueError, match="fault kind 'nope'"):
        FaultRule("nope")
    with pytest.raises(ValueError, match="fault rule has the fields"):
        read_rule({"kind": "reset", "colour": "red"})
    with pytest.raises(ValueError, match="profile 'x'"):
        profile("x")

    def hits() -> list[bool]:
        rules = profile("heavy", seed=4)
        return [any(rule.hit("mirakl", "OR11", is_write=False) for rule in rules) for _ in range(500)]

    assert hits() == hits()
    assert 20 < sum(hits()) < 80


def test_the_control_api_advances_counts_plants_and_refuses_nonsense(seller: Seller) -> None:
    control = httpx.Client(base_url=f"{seller.sandbox.base_url}/sandbox", timeout=10)
    with control:
        assert control.get("/clock").json()["now"] == "2026-01-02T00:00:00Z"
        moved = control.post("/clock/advance", json={"to": "2026-01-02T01:00:00Z"}).json()
        assert moved["now"] == "2026-01-02T01:00:00Z"
        assert "cannot go back" in control.post("/clock/advance", json={"seconds": -5}).json()["error"]
        assert control.post("/clock/advance", json={}).status_code == 400
        control.get("/calls", params={"reset": "true"})
        accept_one(seller)
        calls = control.get("/calls").json()
        assert calls["calls"] == {"mirakl": {"OR11": 1, "OR21": 1}}
        assert calls["writes"] == {"mirakl": {"OR21": 1}}
        assert control.post("/faults", json={"profile": "light"}).json()["rules"]
        assert control.delete("/faults").json() == {"rules": []}
        assert "is not one of" in control.post("/plant", json={"anomaly": "x"}).json()["error"]
        assert control.get("/truth").json()["checks"]
        settings = control.get("/settings").json()
        assert settings["shop"]["mirakl"]["base_url"] == f"{seller.sandbox.base_url}/mirakl"
        assert settings["shop"]["returns"]["base_url"].endswith("/reveni")


def test_frequencies_are_held_on_the_worlds_clock_when_strict(make_seller: SellerMaker) -> None:
    seller = make_seller(strict_frequency=True)
    assert seller.http.get("/api/orders").status_code == 200
    second = seller.http.get("/api/orders")
    assert (second.status_code, second.headers["retry-after"]) == (429, "60")
    seller.sandbox.advance(timedelta(seconds=60))
    assert seller.http.get("/api/orders").status_code == 200
    codes = [seller.http.get("/api/sellerpayment/transactions_logs").status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]
    assert [seller.http.get("/api/version").status_code for _ in range(3)] == [200] * 3
