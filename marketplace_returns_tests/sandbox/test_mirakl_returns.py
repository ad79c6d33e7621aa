"""Returns over HTTP: states, partial success, rma, and the parcel that waits for a label and an acceptance."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace_returns.sandbox.returns_platform import Duplicate, NewReturn, NewReturnLine
from marketplace_returns_tests.sandbox.conftest import SellerMaker
from marketplace_returns_tests.sandbox.seller import Seller


@pytest.fixture
def seller(make_seller: SellerMaker) -> Seller:
    """A shop whose customers all want to send something back, and whose returns nobody has touched yet."""
    made = make_seller(days=1, return_rate=0.9, never_posted_rate=0.0, return_canceled_rate=0.0, incident_rate=0.0)
    for _ in range(76):
        made.sandbox.advance(timedelta(hours=6))
        made.accept_all()
        made.hand_to_warehouse()
        made.confirm_despatches()
    return made


def test_returns_are_found_by_state_window_and_rma(seller: Seller) -> None:
    waiting = seller.get("/api/returns", return_state="WAITING_ACCEPTANCE", limit=100)["data"]
    assert len(waiting) >= 12
    one = waiting[0]
    window = {"return_last_updated_from": one["last_updated"], "return_last_updated_to": one["last_updated"]}
    assert one["id"] in {found["id"] for found in seller.get("/api/returns", **window)["data"]}
    patched = seller.put("/api/returns", {"returns": [{"id": one["id"], "rma": "key_1"}, {"id": "none", "rma": "x"}]})
    assert patched.json()["return_errors"] == [{"id": "none", "message": "The return does not exist."}]
    assert [found["id"] for found in seller.get("/api/returns", return_rma="key_1")["data"]] == [one["id"]]
    bad = seller.put("/api/returns", {"returns": [{"id": one["id"], "rma": "no blanks please"}]}).json()
    assert len(bad["return_errors"]) == 1


def test_seek_tokens_carry_their_filters(seller: Seller) -> None:
    page = seller.get("/api/returns", return_state="WAITING_ACCEPTANCE", limit=4)
    seen = [one["id"] for one in page["data"]]
    while page.get("next_page_token"):
        page = seller.get("/api/returns", page_token=page["next_page_token"], return_state="CLOSED")
        seen += [one["id"] for one in page["data"]]
    everything = seller.get("/api/returns", return_state="WAITING_ACCEPTANCE", limit=100)["data"]
    assert seen == [one["id"] for one in everything]
    assert "page_token" in seller.refusal(seller.http.get("/api/returns", params={"page_token": "zzz"}))


def test_a_return_passes_its_states_once_and_in_order(seller: Seller) -> None:
    one = seller.get("/api/returns", return_state="WAITING_ACCEPTANCE")["data"][0]
    invalid = [{"id": one["id"], "message": "Return is in invalid state"}]

    def step(name: str, **more: object) -> list[dict[str, str]]:
        reply = seller.put(f"/api/returns/{name}", {"returns": [{"id": one["id"], **more}]})
        assert reply.status_code == 200
        return list(reply.json()["return_errors"])

    assert step("receive") == invalid
    assert step("accept", accepted=True) == []
    assert step("accept", accepted=True) == invalid
    assert step("receive") == []
    message = step("compliance", return_lines=[])[0]["message"]
    assert message.startswith("The compliance has not been specified on the following order lines: ")
    lines = [{"order_line_id": line["order_line_id"], "compliant": True} for line in one["return_lines"]]
    assert step("compliance", return_lines=lines) == []
    assert step("close") == []
    assert step("cancel") == invalid
    shown = seller.get("/api/returns", return_id=one["id"])["data"][0]
    assert shown["state"] == "CLOSED"
    assert shown["return_lines"][0]["compliance"][0]["compliant"] is True


def test_a_return_can_be_refused_with_a_known_reason_only(seller: Seller) -> None:
    one = seller.get("/api/returns", return_state="WAITING_ACCEPTANCE")["data"][0]["id"]
    body = {"id": one, "accepted": False, "rejection_reason_code": "WHATEVER"}
    assert len(seller.put("/api/returns/accept", {"returns": [body]}).json()["return_errors"]) == 1
    body["rejection_reason_code"] = "RETURN_REJECTION_WINDOW_CLOSED"
    assert seller.put("/api/returns/accept", {"returns": [body]}).json()["return_success"] == [{"id": one}]


def test_a_parcel_is_posted_only_with_label_and_acceptance(seller: Seller) -> None:
    returns = seller.get("/api/returns", return_state="WAITING_ACCEPTANCE", limit=100)["data"]
    accepted_only, label_only, both = (one for one in returns[:3])

    def label(one: dict[str, object]) -> None:
        wanted = NewReturn(
            str(one["id"]),
            str(one["order_id"]),
            "name",
            "GBP",
            (NewReturnLine("l", "s", 1, 100, 0, "r"),),
        )
        seller.sandbox.do(lambda: seller.world.platform.create_return(wanted))
        assert isinstance(seller.sandbox.do(lambda: seller.world.platform.create_return(wanted)), Duplicate)

    for one in (accepted_only, both):
        seller.put("/api/returns/accept", {"returns": [{"id": one["id"], "accepted": True}]})
    for one in (label_only, both):
        label(one)
    seller.sandbox.advance(timedelta(days=8))
    posted = {key for key, one in seller.world.returns.returns.items() if one.posted_at}
    assert posted == {both["id"]}
    platform = seller.world.platform.find_return(external_id=str(both["id"]))
    assert platform is not None
    assert platform.status == "received"
    assert seller.world.returns.returns[str(both["id"])].inspected_at is not None


def test_rt01_creates_by_item_and_rt12_counts_down(seller: Seller) -> None:
    order = next(
        order for order in seller.world.marketplace.orders.values() if not seller.world.returns.by_order(order.id)
    )
    line = order.lines[0]

    def left() -> int:
        data = seller.get("/api/returns/items_to_return", order_line_id=line.id)["data"]
        return int(data[0]["returnable_quantity"])

    assert left() == line.quantity
    item = {
        "order_commercial_id": order.commercial_id,
        "method_code": "RETURN_METHOD_BY_MAIL",
        "return_lines": [{"order_line_id": line.id, "quantity": line.quantity, "reason_code": "RETURN_OTHER"}],
    }
    unknown_reason = seller.http.post("/api/returns", json={"returns": [item]}).json()
    assert "does not exist" in unknown_reason["return_errors"][0]["message"]
    item["return_lines"][0]["reason_code"] = "RETURN_CHANGED_MIND"  # type: ignore[index]
    reply = seller.http.post("/api/returns", json={"returns": [item, {**item, "order_commercial_id": "none"}]}).json()
    assert (len(reply["return_success"]), len(reply["return_errors"])) == (1, 1)
    assert left() == 0
