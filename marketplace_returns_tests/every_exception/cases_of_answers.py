"""Exceptions whose cause is what a system answers: refusals, lost replies, keys, streams that cannot be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.ledger import reflection
from marketplace_returns.ledger.executors import refund as refunding
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.every_exception.scene import Case, Play, Scene
from marketplace_returns_tests.ledger.sandboxed import acceptance, plan, refund


def _ack_rejected(here: Scene) -> Play:
    """The order is cancelled between our decision and our acceptance; the next pass no longer plans one."""
    order = here.orders("WAITING_ACCEPTANCE")[0]
    here.plan(acceptance(order), lane="accept_orders")
    here.sandbox.do(lambda: here.sandbox.world.marketplace.cancel(order["order_id"]))
    here.send(WriteKind.ACCEPT_ORDER)
    yield {"order_id": order["order_id"]}
    here.plan(lane="accept_orders")


def _sales_order(order: dict[str, Any], item_code: str) -> IntentPlan:
    item = {"line": "1", "item_code": item_code, "quantity": 1, "sale_price": "10.00"}
    body = {"order_id": order["order_id"], "items": [item], "created_at": order["created_date"], "service_type": ""}
    return plan(WriteKind.CREATE_WAREHOUSE_ORDER, order["order_id"], body, order=order)


def _wms_order_failed(here: Scene) -> Play:
    """The warehouse does not know the item; once skus.csv names its code, the changed order is sent."""
    order = here.shipping()[0]
    here.plan(_sales_order(order, "NO-SUCH-ITEM"), lane="warehouse_orders")
    here.send()
    yield {"order_id": order["order_id"]}
    here.plan(_sales_order(order, order["order_lines"][0]["offer_sku"]), lane="warehouse_orders")
    here.send()


def _confirmation(order: dict[str, Any], carrier: str) -> IntentPlan:
    body = {
        "mode": "order",
        "order_id": order["order_id"],
        "tracking": {"carrier_code": carrier, "tracking_number": "TRACK1"},
        "shipment_lines": [],
    }
    return plan(WriteKind.CONFIRM_DESPATCH, order["order_id"], body, order=order)


def _despatch_rejected(here: Scene) -> Play:
    """The marketplace does not know the carrier's code; once carriers.csv is mended, the changed despatch is sent."""
    order = here.orders("SHIPPING")[0]
    here.plan(_confirmation(order, "NOT-A-CARRIER"), lane="despatch")
    here.send()
    yield {"order_id": order["order_id"]}
    here.plan(_confirmation(order, here.clients.mirakl.carriers()[0]["code"]), lane="despatch")
    here.send()


def _despatch_not_reflected(here: Scene) -> Play:
    """The marketplace says yes and our reading of it stands still; the next poll of the orders shows it."""
    order = here.orders("SHIPPING")[0]
    here.plan(_confirmation(order, here.clients.mirakl.carriers()[0]["code"]), lane="despatch again")
    here.send()
    _reflect_later(here)
    yield {"order_id": order["order_id"]}
    here.poll("mirakl/order")
    _reflect(here)


def _return_create_failed(here: Scene) -> Play:
    """The platform refuses a quantity of none; mended, the return is created."""
    order = here.orders("SHIPPED")[0]

    def creation(quantity: int) -> IntentPlan:
        line = order["order_lines"][0]
        item = {"external_id": line["order_line_id"], "sku": line["offer_sku"], "quantity": quantity}
        body = {
            "external_id": "RETURN-1",
            "order": {"external_id": order["order_id"], "name": order["order_id"]},
            "currency": "GBP",
            "return_items": [{**item, "unit_price": "10.00", "tax_amount": "1.67", "return_reason": "other"}],
        }
        return plan(WriteKind.CREATE_PLATFORM_RETURN, "RETURN-1", body, order=order, return_id="RETURN-1")

    here.plan(creation(0), lane="platform_returns")
    here.send()
    yield {"return_id": "RETURN-1"}
    here.plan(creation(1), lane="platform_returns")
    here.send()


def _next_order(here: Scene) -> dict[str, Any]:
    """Return an order that can be refunded and was not."""
    orders = [each for each in here.orders("SHIPPING") if not each["order_lines"][0].get("refunds")]
    known = {each.order_id for each in here.ledger.intents(kinds=[WriteKind.REFUND])}
    return next(each for each in orders if each["order_id"] not in known)


def _refund_unknown(here: Scene) -> Play:
    """The reply to a refund is lost; it is read back and found."""
    order = _next_order(here)
    here.plan(refund(order), lane="refund unknown")
    here.fault("reset_after", "OR28")
    here.send()
    yield {"order_id": order["order_id"]}
    here.clock.wait(31)
    here.look()


def _refund_conflict(here: Scene) -> Play:
    """A refund is lost and somebody makes another by hand; once the operator took that back, a person has ours gone on with."""
    order = _next_order(here)
    here.plan(refund(order), lane="refund conflict")
    here.fault("reset", "OR28")
    here.send()
    (by_hand,) = here.clients.mirakl.refund(refund(order, share="0.3").body)
    here.clock.wait(31)
    here.look()
    yield {"order_id": order["order_id"]}
    here.sandbox.do(lambda: here.sandbox.world.refunds.reverse(by_hand.refund_id))
    here.retry("REFUND_CONFLICT", {"order_id": order["order_id"]}, "the operator reversed it")
    here.later(1, 610, 1, 610)


def _refund_rejected_balance(here: Scene) -> Play:
    """The shop's balance is short; after its wait the refund is tried again by itself."""
    here.configure(balance_check=True)
    books = here.sandbox.world.accounting
    here.sandbox.do(lambda: setattr(here.sandbox.world, "accounting", _WithoutBalance(books)))
    order = _next_order(here)
    here.plan(refund(order), lane="refund balance")
    here.send()
    yield {"order_id": order["order_id"]}
    here.sandbox.do(lambda: setattr(here.sandbox.world, "accounting", books))
    here.later(refunding.BALANCE_WAIT_S + 1)
    here.configure(balance_check=False)


class _WithoutBalance:
    """The books of a shop whose sales are all paid out."""

    pending_minor = payable_minor = 0

    def __init__(self, books: Any) -> None:
        self._books = books

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)


def _refund_rejected_permission(here: Scene) -> Play:
    """The key may not refund; the operator gives it the right, and a person has the refund tried again."""
    here.configure(forbidden_operations=("OR28",))
    order = _next_order(here)
    here.plan(refund(order), lane="refund permission")
    here.send()
    yield {"order_id": order["order_id"]}
    here.configure(forbidden_operations=())
    here.retry("REFUND_REJECTED_PERMISSION", {"order_id": order["order_id"]}, "the right is given")
    here.send()


def _changed(found: IntentPlan, **changes: Any) -> IntentPlan:
    (item,) = found.body["refunds"]
    return replace(found, body={**found.body, "refunds": [{**item, **changes}]})


def _refund_rejected_tax(here: Scene) -> Play:
    """The refund names a tax that the line has not; computed anew, it is sent."""
    order = _next_order(here)
    good = refund(order)
    here.plan(_changed(good, taxes=[{"code": "NO-SUCH-TAX", "amount": Decimal("0.10")}]), lane="refund tax")
    here.send()
    yield {"order_id": order["order_id"]}
    here.plan(good, lane="refund tax")
    here.send()


def _refund_rejected_reason(here: Scene) -> Play:
    """The reason is none of the marketplace's; once reasons.csv is mended, the changed refund is sent."""
    order = _next_order(here)
    good = refund(order)
    here.plan(_changed(good, reason_code="no-such-reason"), lane="refund reason")
    here.send()
    yield {"order_id": order["order_id"]}
    here.plan(good, lane="refund reason")
    here.send()


def _refund_manual_adopted(here: Scene) -> Play:
    """Somebody refunded the same by hand; finance records who and why."""
    order = _next_order(here)
    ours = refund(order)
    here.plan(ours, lane="refund by hand")
    here.clients.mirakl.refund(ours.body)
    here.send()
    yield {"order_id": order["order_id"]}
    here.resolve("REFUND_MANUAL_ADOPTED", {"order_id": order["order_id"]}, "care refunded it on the phone")


def _refund_over_cap(here: Scene) -> Play:
    """Two refunds together are more than the line cost; finance settles the rest and says so."""
    order = _next_order(here)
    line_id = order["order_lines"][0]["order_line_id"]
    here.plan(refund(order, share="0.6"), refund(order, share="0.7", key=f"{line_id}#2"), lane="refund cap")
    here.send()
    here.send()
    yield {"order_id": order["order_id"]}
    here.resolve("REFUND_OVER_CAP", {"order_id": order["order_id"]}, "settled in the back office")


def _stock_rejected(here: Scene) -> Play:
    """The marketplace does not know the offer; the push of a mended SKU takes its place."""
    offers = here.sandbox.world.offers
    sku = next(iter(offers.by_sku))
    here.sandbox.do(lambda: offers.withdrawn.add(sku))
    here.plan(plan(WriteKind.PUSH_STOCK, f"{sku}@1", {"offer_sku": sku, "quantity": 3}), lane="stock")
    here.send(WriteKind.PUSH_STOCK)
    yield {"natural_key": f"{sku}@1"}
    here.sandbox.do(lambda: offers.withdrawn.discard(sku))
    here.plan(plan(WriteKind.PUSH_STOCK, f"{sku}@2", {"offer_sku": sku, "quantity": 4}), lane="stock")
    here.send(WriteKind.PUSH_STOCK)


def _stock_drift(here: Scene) -> Play:
    """The marketplace took a quantity and our reading of the offers stands still; the next poll shows it."""
    sku = next(iter(here.sandbox.world.offers.by_sku))
    key = f"{sku}@3"
    here.plan(plan(WriteKind.PUSH_STOCK, key, {"offer_sku": sku, "quantity": 5}), lane="stock")
    here.send(WriteKind.PUSH_STOCK)
    _reflect_later(here)
    yield {"natural_key": key}
    here.poll("mirakl/offer")
    _reflect(here)


def _reflect(here: Scene) -> None:
    reflection.reflect(here.ledger, here.app.con, here.shop, here.clock.now())


def _reflect_later(here: Scene) -> None:
    """See, once its time is over, whether what was answered as done shows in the lake."""
    here.clock.wait((reflection.SHOWN_WITHIN + timedelta(minutes=30)).total_seconds())
    _reflect(here)


def _source_stale(here: Scene) -> Play:
    """A system answers with errors only; the next poll that succeeds closes it."""
    here.sandbox.add_fault(FaultRule(kind="http_500_before", operation="RE01"))
    here.poll("mirakl/reason")
    yield {"stream": "mirakl/reason"}
    here.sandbox.clear_faults()
    here.poll("mirakl/reason")


def _rate_limited(here: Scene) -> Play:
    """A system refuses for too many calls; the next poll that succeeds closes it."""
    here.sandbox.add_fault(FaultRule(kind="http_429", operation="SH21", retry_after_s=900))
    here.poll("mirakl/carrier")
    yield {"stream": "mirakl/carrier"}
    here.sandbox.clear_faults()
    here.clock.wait(901)
    here.poll("mirakl/carrier")


def _auth_failed(here: Scene) -> Play:
    """The key was changed; with a key that is accepted again the poll closes it."""
    key = here.sandbox.world.config.mirakl_api_key
    here.configure(mirakl_api_key="another-key")
    here.poll("mirakl/carrier")
    yield {"stream": "mirakl/carrier"}
    here.configure(mirakl_api_key=key)
    here.poll("mirakl/carrier")


def _schema_changed(here: Scene) -> Play:
    """A system changes its answer; once it is read again, it closes."""
    here.sandbox.add_fault(FaultRule(kind="other_shape", operation="SH21"))
    here.poll("mirakl/carrier")
    yield {"stream": "mirakl/carrier"}
    here.sandbox.clear_faults()
    here.poll("mirakl/carrier")


CASES = [
    Case("ACK_REJECTED", _ack_rejected),
    Case("WMS_ORDER_FAILED", _wms_order_failed),
    Case("DESPATCH_REJECTED", _despatch_rejected),
    Case("DESPATCH_NOT_REFLECTED", _despatch_not_reflected),
    Case("RETURN_CREATE_FAILED", _return_create_failed),
    Case("REFUND_UNKNOWN", _refund_unknown),
    Case("REFUND_CONFLICT", _refund_conflict),
    Case("REFUND_REJECTED_BALANCE", _refund_rejected_balance),
    Case("REFUND_REJECTED_PERMISSION", _refund_rejected_permission),
    Case("REFUND_REJECTED_TAX", _refund_rejected_tax),
    Case("REFUND_REJECTED_REASON", _refund_rejected_reason),
    Case("REFUND_MANUAL_ADOPTED", _refund_manual_adopted, by_person=True),
    Case("REFUND_OVER_CAP", _refund_over_cap, by_person=True),
    Case("STOCK_REJECTED", _stock_rejected),
    Case("STOCK_DRIFT", _stock_drift),
    Case("SOURCE_STALE", _source_stale),
    Case("RATE_LIMITED", _rate_limited),
    Case("AUTH_FAILED", _auth_failed),
    Case("SCHEMA_CHANGED", _schema_changed),
]
