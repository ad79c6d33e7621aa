"""The writes of the grid: all 13 kinds, and the further forms that leave by another call.

Here live how each is prepared in a world, which call makes its effect, and how the sandbox's own truth counts that effect.
Not here: what goes wrong (grid.py). Invariant: an effect is counted from the world's records, never from what our side says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.sandboxed import Place, acceptance, plan, refund
from marketplace_returns_tests.ledger.world import SHOP

Row = dict[str, Any]
Call = tuple[str, str]
"""System and operation, as the sandbox names them."""

RMA = "PLATFORM-1"
TRACKING = "TRACK1"
STOCK = 3


@dataclass(frozen=True)
class Write:
    """One kind of write, or one form of it.

    ``scene`` is the state of the world it needs; ``calls`` are all its writing calls, of which number ``struck`` goes wrong;
    ``looks`` is the pre-read of a first try; ``make`` plans it for the scene; ``other`` plans one that the outside refuses
    in the same call; ``effect`` counts how often it is applied.
    """

    name: str
    kind: WriteKind
    scene: str
    calls: tuple[Call, ...]
    make: Callable[[Place], IntentPlan]
    effect: Callable[[World, IntentPlan], int]
    other: Callable[[Place], IntentPlan] | None = None
    struck: int = 0
    looks: Call | None = None
    is_answer_empty: bool = False
    is_absolute: bool = False
    """A second one of it sets what is set already, so that it is sent again unseen."""

    @property
    def struck_call(self) -> Call:
        """Return the call that goes wrong."""
        return self.calls[self.struck]


# -- the worlds -------------------------------------------------------------------------------------------------------

SEED = 5
WORLD = {
    "seed": SEED,
    "orders": 25,
    "days": 1,
    "skus": 20,
    "return_rate": 1.0,
    "return_canceled_rate": 0.0,
    "never_posted_rate": 0.0,
    "incident_rate": 0.0,
    "split_parcel_rate": 0.0,
    "import_delay_s": 0.0,
}


def to_waiting(_here: Place) -> None:
    """Orders wait to be accepted."""


def to_shipping(here: Place) -> None:
    """Orders are accepted and debited."""
    here.shipping()


def to_returned(here: Place) -> None:
    """All was shipped and received, and customers have opened returns that wait; nobody orders any more."""
    here.sandbox.advance(timedelta(hours=12))
    carrier = here.clients.mirakl.carriers()[0]["code"]
    for order in here.shipping():
        here.clients.mirakl.set_tracking(order["order_id"], carrier_code=carrier, tracking_number=TRACKING)
        here.clients.mirakl.ship_order(order["order_id"])
    here.sandbox.advance(timedelta(days=17))


def to_linked(here: Place) -> None:
    """The first return is on the platform, accepted and linked; an order line has an open incident."""
    row = waiting_return(here)
    made = here.clients.platform.create(platform_return(here).body)
    here.clients.mirakl.accept_returns([{"id": row["id"], "accepted": True}])
    here.clients.mirakl.patch_returns([{"id": row["id"], "rma": made}])
    line = here.orders("RECEIVED")[-1]["order_lines"][0]["order_line_id"]
    here.sandbox.do(lambda: here.sandbox.world.marketplace.open_incident(line, "INCIDENT_1"))


def to_received(here: Place) -> None:
    """The linked return is received."""
    here.clients.mirakl.receive_returns([linked_return(here)["id"]])


SCENES: dict[str, tuple[str, dict[str, Any], Callable[[Place], None]]] = {
    "waiting": ("", WORLD, to_waiting),
    "shipping": ("waiting", WORLD, to_shipping),
    "returned": ("shipping", WORLD, to_returned),
    "linked": ("returned", WORLD, to_linked),
    "received": ("linked", WORLD, to_received),
    "parcels": ("", {**WORLD, "multi_shipment": True}, to_shipping),
}
"""Name of a scene: the scene it follows, its world, and what happens from there."""


# -- the subjects -----------------------------------------------------------------------------------------------------


def returns(here: Place) -> list[Row]:
    now = here.clock.now()
    rows = [row for page in here.clients.mirakl.returns(now - timedelta(days=30), now) for row in page]
    return sorted(rows, key=lambda row: str(row["id"]))


def waiting_return(here: Place) -> Row:
    return next(row for row in returns(here) if row["state"] == "WAITING_ACCEPTANCE")


def linked_return(here: Place) -> Row:
    return next(row for row in returns(here) if row["rma"])


def of_return(kind: WriteKind, row: Row, body: Row) -> IntentPlan:
    return IntentPlan(
        shop=SHOP,
        kind=kind,
        natural_key=row["id"],
        body=body,
        evidence={},
        order_id=row["order_id"],
        return_id=row["id"],
    )


def unknown_return(kind: WriteKind, body: Row) -> Callable[[Place], IntentPlan]:
    return lambda _here: of_return(kind, {"id": "no-such-return", "order_id": "no-such-order"}, body)


def accept_order(here: Place) -> IntentPlan:
    return acceptance(here.orders("WAITING_ACCEPTANCE")[0])


def warehouse_order(here: Place, place: int = 0, item_code: str = "") -> IntentPlan:
    order = here.orders("SHIPPING")[place]
    items = [
        {
            "line": line["order_line_id"],
            "item_code": item_code or line["offer_sku"],
            "quantity": line["quantity"],
            "sale_price": str(line["price"]),
        }
        for line in order["order_lines"]
    ]
    body = {"order_id": order["order_id"], "items": items, "created_at": order["created_date"], "service_type": ""}
    return plan(WriteKind.CREATE_WAREHOUSE_ORDER, order["order_id"], body, order=order)


def refused_warehouse_order(here: Place) -> IntentPlan:
    return warehouse_order(here, 1, "NO-SUCH-ITEM")


def despatch(here: Place, mode: str) -> IntentPlan:
    order = here.orders("SHIPPING")[0]
    carrier = here.clients.mirakl.carriers()[0]["code"]
    lines = [
        {"order_line_id": line["order_line_id"], "quantity": line["quantity"], "package_reference": "D1"}
        for line in order["order_lines"]
    ]
    body = {
        "mode": mode,
        "order_id": order["order_id"],
        "tracking": {"carrier_code": carrier, "tracking_number": TRACKING},
        "shipment_lines": lines if mode == "shipment" else [],
    }
    key = f"{order['order_id']}/D1" if mode == "shipment" else order["order_id"]
    return plan(WriteKind.CONFIRM_DESPATCH, key, body, order=order)


def platform_return(here: Place) -> IntentPlan:
    row = waiting_return(here)
    skus = {line["order_line_id"]: line["offer_sku"] for line in here.order(row["order_id"])["order_lines"]}
    body = {
        "external_id": row["id"],
        "order": {"external_id": row["order_id"], "name": row["order_id"]},
        "currency": "GBP",
        "return_items": [
            {
                "external_id": line["order_line_id"],
                "sku": skus[line["order_line_id"]],
                "quantity": line["quantity"],
                "unit_price": "10.00",
                "tax_amount": "1.67",
                "return_reason": "OTHER",
            }
            for line in row["return_lines"]
        ],
    }
    return of_return(WriteKind.CREATE_PLATFORM_RETURN, row, body)


def link_return(here: Place) -> IntentPlan:
    row = waiting_return(here)
    body = {"return_id": row["id"], "accept": True, "rma": RMA, "label_url": "", "tracking": {}}
    return of_return(WriteKind.LINK_RETURN, row, body)


def open_return(here: Place) -> IntentPlan:
    taken = waiting_return(here)

    def call_off() -> None:
        here.sandbox.world.returns.returns[taken["id"]].state = "CANCELED"

    here.sandbox.do(call_off)
    order = here.order(taken["order_id"])
    line_id = taken["return_lines"][0]["order_line_id"]
    create = {
        "order_commercial_id": order["commercial_id"],
        "method_code": "RETURN_METHOD_BY_MAIL",
        "accepted": True,
        "rma": RMA,
        "label_url": "",
        "return_lines": [{"order_line_id": line_id, "quantity": 1, "reason_code": "RETURN_PDNT_TOO_SMALL"}],
    }
    row = {"id": f"reveni:{RMA}", "order_id": order["order_id"]}
    return of_return(WriteKind.LINK_RETURN, row, {"rma": RMA, "create": create})


def expected_receipt(here: Place) -> IntentPlan:
    row = waiting_return(here)
    items = [
        {"line": str(number), "item_code": item_code, "quantity": 1, "status": "Pending"}
        for number, item_code in enumerate(list(here.sandbox.world.products)[:2], 1)
    ]
    return _receipt(row, items)


def refused_receipt(_here: Place) -> IntentPlan:
    items = [{"line": "1", "item_code": "NO-SUCH-ITEM", "quantity": 1, "status": "Pending"}]
    return _receipt({"id": "no-such-return", "order_id": "no-such-order"}, items)


def _receipt(row: Row, items: list[Row]) -> IntentPlan:
    body = {"purchase_order_number": f"RTN-{row['id']}", "reference": row["order_id"], "items": items}
    return of_return(WriteKind.CREATE_EXPECTED_RECEIPT, row, body)


def receive_return(here: Place) -> IntentPlan:
    row = linked_return(here)
    return of_return(WriteKind.RECEIVE_RETURN, row, {"return_id": row["id"]})


def report_compliance(here: Place) -> IntentPlan:
    row = linked_return(here)
    lines = [{"order_line_id": line["order_line_id"], "compliant": True} for line in row["return_lines"]]
    return of_return(WriteKind.REPORT_COMPLIANCE, row, {"return_id": row["id"], "return_lines": lines})


def refund_unit(here: Place) -> IntentPlan:
    return refund(here.orders("SHIPPING")[0], share="0.5")


def report_outcome(here: Place) -> IntentPlan:
    found = here.clients.platform.find(linked_return(here)["id"], "")[0]
    shown = here.reveni.return_by_id(found)
    items = [
        {"item_id": item["id"], "quantity": item["quantity"], "status": "accepted"} for item in shown["return_items"]
    ]
    body = {"platform_return_id": found, "items": items}
    return plan(WriteKind.REPORT_REFUND_OUTCOME, found, body)


def close_return(here: Place) -> IntentPlan:
    row = linked_return(here)
    return of_return(WriteKind.CLOSE_RETURN, row, {"return_id": row["id"]})


def resolve_incident(here: Place) -> IntentPlan:
    order, line = next(
        (order, line)
        for order in here.orders("RECEIVED")
        for line in order["order_lines"]
        if line["order_line_state"] == "INCIDENT_OPEN"
    )
    reason = next(row["code"] for row in here.clients.mirakl.reasons() if row["type"] == "INCIDENT_CLOSE")
    body = {"order_id": order["order_id"], "order_line_id": line["order_line_id"], "reason_code": reason}
    key = line["order_line_id"]
    return plan(WriteKind.RESOLVE_INCIDENT, key, body, order=order, order_line_id=key)


def push_stock(here: Place) -> IntentPlan:
    sku = min(here.sandbox.world.offers.by_sku)
    return plan(WriteKind.PUSH_STOCK, f"{sku}@1", {"offer_sku": sku, "quantity": STOCK})


def add_stock(here: Place) -> IntentPlan:
    sku = min(here.sandbox.world.offers.by_sku)
    here.sandbox.do(lambda: here.sandbox.world.offers.set_quantity(sku, STOCK))
    return plan(WriteKind.PUSH_STOCK, "delta:event-1", {"offer_sku": sku, "delta": 1})


def refused_stock(_here: Place) -> IntentPlan:
    return plan(WriteKind.PUSH_STOCK, "NO-SUCH-SKU@1", {"offer_sku": "NO-SUCH-SKU", "quantity": STOCK})


# -- how often each is applied, by the sandbox's records --------------------------------------------------------------


def is_accepted(world: World, planned: IntentPlan) -> int:
    order = world.marketplace.orders[planned.order_id]
    return int(order.state not in {"STAGING", "WAITING_ACCEPTANCE", "REFUSED", "CANCELED"})


def is_saved(world: World, planned: IntentPlan) -> int:
    order = world.warehouse.sales_order(planned.order_id)
    return _times(planned, order.items.values() if order else ())


def is_expected(world: World, planned: IntentPlan) -> int:
    order = world.warehouse.purchase_order(planned.body["purchase_order_number"])
    return _times(planned, order.items.values() if order else ())


def _times(planned: IntentPlan, items: Any) -> int:
    wanted, got = Counter[str](), Counter[str]()
    for item in planned.body["items"]:
        wanted[item["item_code"]] += item["quantity"]
    for item in items:
        got[item.item_code] += item.quantity
    if set(got) - set(wanted):
        return max(2, sum(got.values()))  # what nobody asked for
    return 0 if any(got[code] < count for code, count in wanted.items()) else -(-got.total() // wanted.total())


def is_shipped(world: World, planned: IntentPlan) -> int:
    order = world.marketplace.orders[planned.order_id]
    return int(order.shipped_at is not None and order.tracking_number == TRACKING)


def shipments(world: World, planned: IntentPlan) -> int:
    return len(world.marketplace.shipments_of_order.get(planned.order_id, ()))


def platform_returns(world: World, planned: IntentPlan) -> int:
    return sum(one.external_id == planned.return_id for one in world.platform.returns.values())


def is_linked(world: World, planned: IntentPlan) -> int:
    one = world.returns.returns[planned.return_id]
    return int(one.rma == planned.body["rma"] and one.state != "WAITING_ACCEPTANCE")


def returns_opened(world: World, planned: IntentPlan) -> int:
    return sum(one.rma == planned.body["rma"] for one in world.returns.returns.values())


def is_received(world: World, planned: IntentPlan) -> int:
    return int(world.returns.returns[planned.return_id].state in {"RECEIVED", "CLOSED"})


def is_compliant(world: World, planned: IntentPlan) -> int:
    return int(all(line.compliant is not None for line in world.returns.returns[planned.return_id].lines))


def is_closed(world: World, planned: IntentPlan) -> int:
    return int(world.returns.returns[planned.return_id].state == "CLOSED")


def refunds(world: World, planned: IntentPlan) -> int:
    return len(world.marketplace.find_line(planned.order_line_id)[1].refunds)


def is_told(world: World, planned: IntentPlan) -> int:
    lines = world.platform.returns[planned.body["platform_return_id"]].lines
    return int(all(line.status == "accepted" for line in lines))


def is_resolved(world: World, planned: IntentPlan) -> int:
    return int(world.marketplace.find_line(planned.order_line_id)[1].state != "INCIDENT_OPEN")


def is_offered(world: World, planned: IntentPlan) -> int:
    return int(world.offers.by_sku[planned.body["offer_sku"]].quantity == planned.body["quantity"])


def added(world: World, planned: IntentPlan) -> int:
    return world.offers.by_sku[planned.body["offer_sku"]].quantity - STOCK


# -- the table --------------------------------------------------------------------------------------------------------

K = WriteKind
SAVES = (("peoplevox", "SaveData"), ("peoplevox", "SaveData"))
SHIPS = (("mirakl", "OR23"), ("mirakl", "OR24"))
LINKS = (("mirakl", "RT21"), ("mirakl", "RT04"))
GETS = ("peoplevox", "GetData")


def _mirakl(code: str) -> tuple[Call, ...]:
    return (("mirakl", code),)


def _reveni(operation: str) -> tuple[Call, ...]:
    return (("reveni", operation),)


_no_link = unknown_return(K.LINK_RETURN, {"return_id": "no-such-return", "accept": True, "rma": RMA})
_no_link_of_accepted = unknown_return(K.LINK_RETURN, {"return_id": "no-such-return", "accept": False, "rma": RMA})
_no_compliance = unknown_return(K.REPORT_COMPLIANCE, {"return_lines": [{"order_line_id": "x", "compliant": True}]})

# fmt: off
WRITES = (
    Write("accept_order", K.ACCEPT_ORDER, "waiting", _mirakl("OR21"), accept_order, is_accepted, is_answer_empty=True),
    Write("create_warehouse_order", K.CREATE_WAREHOUSE_ORDER, "shipping", SAVES, warehouse_order, is_saved,
          refused_warehouse_order, struck=1, looks=GETS),
    Write("create_warehouse_order.header", K.CREATE_WAREHOUSE_ORDER, "shipping", SAVES, warehouse_order, is_saved,
          refused_warehouse_order, looks=GETS),
    Write("confirm_despatch", K.CONFIRM_DESPATCH, "shipping", SHIPS, lambda here: despatch(here, "order"), is_shipped,
          struck=1, is_answer_empty=True),
    Write("confirm_despatch.tracking", K.CONFIRM_DESPATCH, "shipping", SHIPS, lambda here: despatch(here, "order"),
          is_shipped, is_answer_empty=True),
    Write("confirm_despatch.parcel", K.CONFIRM_DESPATCH, "parcels", _mirakl("ST01"),
          lambda here: despatch(here, "shipment"), shipments, looks=("mirakl", "ST11")),
    Write("create_platform_return", K.CREATE_PLATFORM_RETURN, "returned", _reveni("POST returns"), platform_return,
          platform_returns),
    Write("link_return", K.LINK_RETURN, "returned", LINKS, link_return, is_linked, _no_link_of_accepted, struck=1),
    Write("link_return.accept", K.LINK_RETURN, "returned", LINKS, link_return, is_linked, _no_link),
    Write("link_return.open", K.LINK_RETURN, "returned", _mirakl("RT01"), open_return, returns_opened,
          looks=("mirakl", "RT11")),
    Write("create_expected_receipt", K.CREATE_EXPECTED_RECEIPT, "returned", SAVES, expected_receipt, is_expected,
          refused_receipt, struck=1),
    Write("create_expected_receipt.header", K.CREATE_EXPECTED_RECEIPT, "returned", SAVES, expected_receipt, is_expected,
          refused_receipt),
    Write("receive_return", K.RECEIVE_RETURN, "linked", _mirakl("RT25"), receive_return, is_received,
          unknown_return(K.RECEIVE_RETURN, {"return_id": "no-such-return"})),
    Write("report_compliance", K.REPORT_COMPLIANCE, "linked", _mirakl("RT26"), report_compliance, is_compliant,
          _no_compliance),
    Write("refund", K.REFUND, "shipping", _mirakl("OR28"), refund_unit, refunds, looks=("mirakl", "OR11")),
    Write("report_refund_outcome", K.REPORT_REFUND_OUTCOME, "linked", _reveni("POST returns/{id}/partial_validate"),
          report_outcome, is_told),
    Write("close_return", K.CLOSE_RETURN, "received", _mirakl("RT27"), close_return, is_closed,
          unknown_return(K.CLOSE_RETURN, {"return_id": "no-such-return"})),
    Write("resolve_incident", K.RESOLVE_INCIDENT, "linked", _mirakl("OR64"), resolve_incident, is_resolved,
          is_answer_empty=True, is_absolute=True),
    Write("push_stock", K.PUSH_STOCK, "returned", _mirakl("STO01"), push_stock, is_offered, refused_stock,
          is_absolute=True),
    Write("push_stock.addition", K.PUSH_STOCK, "returned", _mirakl("STO01"), add_stock, added, refused_stock,
          looks=("mirakl", "OF21")),
)
# fmt: on
