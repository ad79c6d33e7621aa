"""The executors against the sandbox, over real HTTP: each kind once, its refusals, and its lost replies."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from marketplace_returns.errors import AuthFailed
from marketplace_returns.ledger.executors.refund import explain
from marketplace_returns.ledger.outcomes import Rejected, outcome_of
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.sandboxed import Place, acceptance, place, plan, refund


@pytest.fixture
def here(tmp_path: Path):
    with place(tmp_path) as opened:
        yield opened


@pytest.mark.proves("R14")
def test_orders_are_accepted_once_and_a_second_acceptance_counts_as_done(here: Place) -> None:
    waiting = here.accept_all()
    assert waiting
    assert here.orders("WAITING_ACCEPTANCE") == []
    again = acceptance(waiting[0])
    object.__setattr__(again, "natural_key", "again")
    here.plan(again, lane="other")
    here.send(WriteKind.ACCEPT_ORDER)
    assert (here.intent("again").state, here.intent("again").is_adopted) == (State.CONFIRMED, True)


@pytest.mark.proves("R39")
@pytest.mark.parametrize("kind", ["reset_after", "http_500_after", "truncated", "timeout_after"])
def test_a_lost_acceptance_reply_is_adopted_not_resent(here: Place, kind: str) -> None:
    order = here.orders("WAITING_ACCEPTANCE")[0]
    here.plan(acceptance(order))
    here.fault(kind, "OR21")
    here.send()
    if kind == "truncated" and here.intent(order["order_id"]).state is State.CONFIRMED:
        return  # a 204 has no body to cut
    assert here.intent(order["order_id"]).state is State.UNKNOWN
    here.clock.wait(31)
    here.look()
    found = here.intent(order["order_id"])
    assert (found.state, found.is_adopted, found.attempt_count) == (State.CONFIRMED, True, 1)


def test_an_acceptance_lost_before_it_arrived_is_sent_again_once(here: Place) -> None:
    order = here.orders("WAITING_ACCEPTANCE")[0]
    here.plan(acceptance(order))
    here.fault("reset", "OR21")
    here.send()
    here.clock.wait(31)
    here.look()
    here.send()
    found = here.intent(order["order_id"])
    assert (found.state, found.attempt_count) == (State.CONFIRMED, 2)


def test_a_refund_is_sent_once_and_keeps_the_marketplaces_id(here: Place) -> None:
    order = here.shipping()[0]
    here.plan(refund(order))
    here.send()
    found = here.intent(refund(order).natural_key)
    (shown,) = here.order(order["order_id"])["order_lines"][0]["refunds"]
    assert (found.state, found.external_ref) == (State.CONFIRMED, shown["id"])
    assert found.baseline["refund_ids"] == []
    assert Decimal(str(shown["amount"])) * 100 == found.amount_minor


@pytest.mark.proves("R39", "R48")
@pytest.mark.parametrize("kind", ["reset_after", "http_500_after", "truncated"])
def test_a_lost_refund_reply_is_adopted_not_resent(here: Place, kind: str) -> None:
    order = here.shipping()[0]
    here.plan(refund(order))
    here.fault(kind, "OR28")
    here.send()
    found = here.intent(refund(order).natural_key)
    assert found.state is State.UNKNOWN
    assert here.exception_types() == ["REFUND_UNKNOWN"]
    here.send()
    here.clock.wait(31)
    here.look()
    found = here.intent(found.natural_key)
    assert (found.state, found.is_adopted, found.attempt_count) == (State.CONFIRMED, True, 1)
    assert len(here.order(order["order_id"])["order_lines"][0]["refunds"]) == 1
    assert here.exception_types() == []


@pytest.mark.parametrize("kind", ["reset", "http_500_before", "http_502_html"])
def test_a_refund_that_never_arrived_is_sent_again_only_after_two_empty_reads(here: Place, kind: str) -> None:
    order = here.shipping()[0]
    here.plan(refund(order))
    here.fault(kind, "OR28")
    here.send()
    key = refund(order).natural_key
    for wait_s in (31, 90, 180):
        here.clock.wait(wait_s)
        here.look()
        here.send()
        assert here.intent(key).state is State.UNKNOWN
    here.clock.wait(610)
    here.look()
    here.send()
    assert (here.intent(key).state, here.intent(key).attempt_count) == (State.CONFIRMED, 2)
    assert len(here.order(order["order_id"])["order_lines"][0]["refunds"]) == 1


@pytest.mark.proves("R48")
def test_a_refund_made_by_hand_before_is_adopted(here: Place) -> None:
    order = here.shipping()[0]
    here.plan(refund(order))
    by_hand = here.clients.mirakl.refund(refund(order).body)
    here.send()
    found = here.intent(refund(order).natural_key)
    assert (found.state, found.external_ref, found.is_adopted) == (State.CONFIRMED, by_hand[0].refund_id, True)
    assert here.exception_types() == ["REFUND_MANUAL_ADOPTED"]


@pytest.mark.proves("R48")
def test_a_refund_of_another_amount_made_by_hand_stops_ours(here: Place) -> None:
    order = here.shipping()[0]
    here.plan(refund(order))
    here.clients.mirakl.refund(refund(order, share="0.3").body)
    here.send()
    assert here.intent(refund(order).natural_key).state is State.CONFLICT
    assert here.exception_types() == ["REFUND_CONFLICT"]


@pytest.mark.proves("R48")
def test_a_refund_made_by_hand_beside_ours_whose_reply_was_lost_is_a_conflict(here: Place) -> None:
    order = here.shipping()[0]
    ours = refund(order, share="0.25")
    here.plan(ours)
    here.fault("reset_after", "OR28")
    here.send()
    here.clients.mirakl.refund(ours.body)
    here.clock.wait(31)
    here.look()
    assert here.intent(ours.natural_key).state is State.CONFLICT
    assert here.exception_types() == ["REFUND_CONFLICT"]


def test_an_older_goodwill_refund_is_baseline_and_does_not_confuse_the_read_back(here: Place) -> None:
    order = here.shipping()[0]
    here.clients.mirakl.refund(refund(order, share="0.3").body)
    here.clock.wait(600)
    ours = refund(order, share="0.5")
    here.plan(ours)
    here.fault("reset_after", "OR28")
    here.send()
    here.clock.wait(31)
    here.look()
    found = here.intent(ours.natural_key)
    assert (found.state, len(found.baseline["refund_ids"])) == (State.CONFIRMED, 1)
    assert found.external_ref not in found.baseline["refund_ids"]


@pytest.mark.proves("I7")
def test_refunds_never_exceed_the_line(here: Place) -> None:
    order = here.shipping()[0]
    line_id = order["order_lines"][0]["order_line_id"]
    here.plan(refund(order, share="0.6"), refund(order, share="0.7", key=f"{line_id}#2"))
    here.send()
    here.send()
    states = sorted((each.state, each.natural_key) for each in here.ledger.intents(kinds=(WriteKind.REFUND,)))
    assert [state for state, _ in states] == [State.CONFIRMED, State.CONFLICT]
    assert here.exception_types() == ["REFUND_OVER_CAP"]


@pytest.mark.proves("R59")
def test_equal_units_of_one_line_are_each_refunded_once(here: Place) -> None:
    order = here.shipping()[0]
    line_id = order["order_lines"][0]["order_line_id"]
    here.plan(*(refund(order, share="0.25", key=f"{line_id}#{unit}") for unit in (1, 2, 3)))
    here.fault("reset_after", "OR28")
    for _ in range(4):
        here.send()
        here.clock.wait(31)
        here.look()
    assert {each.state for each in here.ledger.intents(kinds=(WriteKind.REFUND,))} == {State.CONFIRMED}
    assert len(here.order(order["order_id"])["order_lines"][0]["refunds"]) == 3


@pytest.mark.proves("R103")
def test_a_rate_limited_refund_waits_as_long_as_it_was_told(here: Place) -> None:
    order = here.shipping()[0]
    here.fault("http_429", "OR28")
    here.plan(refund(order))
    here.send()
    found = here.intent(refund(order).natural_key)
    assert (found.state, found.root_cause) == (State.PLANNED, "rate")
    here.send()
    assert here.intent(found.natural_key).attempt_count == 1
    here.clock.wait(5)
    here.send()
    assert here.intent(found.natural_key).state is State.CONFIRMED


@pytest.mark.proves("R50", "R67", "R101", "R102")
@pytest.mark.parametrize(
    ("words", "exception_type", "is_final"),
    [
        ("The shop does not have a sufficient payable balance for the refund", "REFUND_REJECTED_BALANCE", False),
        ("You do not have the permission to make a partial refund", "REFUND_REJECTED_PERMISSION", True),
        ("The reason code 'x' is not valid", "REFUND_REJECTED_REASON", True),
        ("Tax 'VAT' does not exist on the order line", "REFUND_REJECTED_TAX", True),
        ("The refund amount exceeds the order line amount", "REFUND_OVER_CAP", True),
        ("The order line has not been debited yet", "REFUND_REJECTED_STATE", True),
    ],
)
def test_each_refusal_has_its_own_exception_and_only_balance_waits(
    words: str, exception_type: str, is_final: bool
) -> None:
    explained = explain(Rejected("400", words), words)
    assert (explained.exception_type, explained.retry_after_s is None) == (exception_type, is_final)


@pytest.mark.proves("R50")
def test_a_partial_refund_the_operator_does_not_take_is_told_as_a_missing_permission(tmp_path: Path) -> None:
    with place(tmp_path, partial_refunds=False) as here:
        order = here.shipping()[0]
        part = refund(order, share="0.5")
        here.plan(part)
        here.send()
        refused = here.intent(part.natural_key)
        assert (refused.state, refused.root_cause) == (State.REJECTED, "permission")
        (told,) = here.ledger.exceptions()
        assert (told.type, told.root_cause, told.owner) == ("REFUND_REJECTED_PERMISSION", "permission", "integration")


@pytest.mark.proves("R50")
def test_a_refund_refused_with_403_is_a_missing_permission_whatever_words_it_has() -> None:
    words = "Access denied for this reason"
    outcome = outcome_of(AuthFailed(words, system="mirakl", operation="OR28", status=403))
    assert isinstance(outcome, Rejected)
    explained = explain(outcome, words)
    assert (explained.exception_type, explained.root_cause, explained.retry_after_s) == (
        "REFUND_REJECTED_PERMISSION",
        "permission",
        None,
    )


@pytest.mark.proves("R67")
def test_an_unknown_reason_is_a_final_refusal_with_its_own_exception(here: Place) -> None:
    order = here.shipping()[0]
    wrong = refund(order)
    wrong.body["refunds"][0]["reason_code"] = "no-such-reason"  # type: ignore[index]
    here.plan(wrong)
    here.send()
    assert here.intent(wrong.natural_key).state is State.REJECTED
    assert here.exception_types() == ["REFUND_REJECTED_REASON"]


def warehouse_order(order: dict) -> object:
    items = [
        {
            "line": line["order_line_id"],
            "item_code": line["offer_sku"],
            "quantity": line["quantity"],
            "sale_price": str(line["price"]),
        }
        for line in order["order_lines"]
    ]
    body = {"order_id": order["order_id"], "items": items, "created_at": order["created_date"], "service_type": ""}
    return plan(WriteKind.CREATE_WAREHOUSE_ORDER, order["order_id"], body, order=order)


@pytest.mark.proves("R81")
@pytest.mark.parametrize("fault", ["", "reset_after"])
def test_a_warehouse_order_is_saved_once_with_its_address(here: Place, fault: str) -> None:
    orders = here.shipping()[:5]
    here.plan(*(warehouse_order(order) for order in orders), lane="warehouse_orders")
    if fault:
        here.fault(fault, "SaveData")
    for _ in range(3):
        here.send(WriteKind.CREATE_WAREHOUSE_ORDER)
        here.clock.wait(31)
        here.look()
    found = here.ledger.intents(kinds=(WriteKind.CREATE_WAREHOUSE_ORDER,))
    assert {each.state for each in found} == {State.CONFIRMED}
    assert "Sample" not in "".join(str(each) for each in found)
    saved = here.clients.peoplevox.sales_orders([order["order_id"] for order in orders])
    assert len(saved) == len(orders)


@pytest.mark.proves("R85")
def test_a_despatch_is_confirmed_with_tracking(here: Place) -> None:
    order = here.shipping()[0]
    carrier = here.clients.mirakl.carriers()[0]["code"]
    body = {
        "mode": "order",
        "order_id": order["order_id"],
        "tracking": {"carrier_code": carrier, "tracking_number": "TRACK1"},
        "shipment_lines": [],
    }
    here.plan(plan(WriteKind.CONFIRM_DESPATCH, f"{order['order_id']}/whole", body, order=order), lane="despatch")
    here.fault("reset_after", "OR24")
    here.send()
    assert here.intent(f"{order['order_id']}/whole").state is State.UNKNOWN
    here.clock.wait(31)
    here.look()
    shown = here.order(order["order_id"])
    assert (shown["order_state"], shown["shipping_tracking"]) == ("SHIPPED", "TRACK1")
    assert here.intent(f"{order['order_id']}/whole").state is State.CONFIRMED


@pytest.mark.proves("R85", "R86")
def test_a_parcel_whose_reply_was_lost_is_found_by_its_number(tmp_path: Path) -> None:
    with place(tmp_path, multi_shipment=True) as here:
        order = here.shipping()[0]
        carrier = here.clients.mirakl.carriers()[0]["code"]
        body = {
            "mode": "shipment",
            "order_id": order["order_id"],
            "tracking": {"carrier_code": carrier, "tracking_number": "TRACK1"},
            "shipment_lines": [
                {"order_line_id": line["order_line_id"], "quantity": line["quantity"], "package_reference": "D1"}
                for line in order["order_lines"]
            ],
        }
        key = f"{order['order_id']}/D1"
        here.plan(plan(WriteKind.CONFIRM_DESPATCH, key, body, order=order), lane="despatch")
        here.fault("reset_after", "ST01")
        here.send()
        assert here.intent(key).state is State.UNKNOWN
        here.clock.wait(31)
        here.look()
        found = here.intent(key)
        assert (found.state, found.attempt_count, bool(found.external_ref)) == (State.CONFIRMED, 1, True)


@pytest.mark.proves("R32", "R104")
def test_stock_leaves_as_one_file_and_a_refused_line_stands_alone(here: Place) -> None:
    offers = [row for page in here.clients.mirakl.offers() for row in page][:3]
    at = here.clock.now().isoformat()
    plans = [
        plan(WriteKind.PUSH_STOCK, f"{sku}@{at}", {"offer_sku": sku, "quantity": 3})
        for sku in [*(offer["shop_sku"] for offer in offers), "NO-SUCH-SKU"]
    ]
    here.plan(*plans, lane="stock")
    here.send(WriteKind.PUSH_STOCK)
    states = {each.body["offer_sku"]: each.state for each in here.ledger.intents()}
    assert states.pop("NO-SUCH-SKU") is State.REJECTED
    assert set(states.values()) == {State.CONFIRMED}
    assert here.exception_types() == ["STOCK_REJECTED"]
    shown = {row["shop_sku"]: row["quantity"] for page in here.clients.mirakl.offers() for row in page}
    assert all(shown[sku] == 3 for sku in states)


@pytest.mark.proves("R16", "R32")
def test_what_the_marketplace_says_of_a_refused_offer_is_on_its_exception(here: Place) -> None:
    here.plan(plan(WriteKind.PUSH_STOCK, "NO-SUCH-SKU@1", {"offer_sku": "NO-SUCH-SKU", "quantity": 3}), lane="stock")
    here.send(WriteKind.PUSH_STOCK)
    (told,) = here.ledger.exceptions()
    assert "The offer with sku 'NO-SUCH-SKU' does not exist" in told.message
