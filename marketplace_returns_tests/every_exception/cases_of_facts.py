"""Exceptions whose cause stands in what the systems tell: rows of the lake, as they would have landed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from marketplace_returns.lake import tables
from marketplace_returns_tests.every_exception.scene import Case, Play, Scene, moment
from marketplace_returns_tests.lanes.core_rows import NOW

UNMAPPED_REASON = "RETURN_BRAND_NEW_WORD"
UNMAPPED_CARRIER = "Pigeon Post"


def _order(here: Scene, name: str, state: str, item: str = "A", quantity: int = 1, **values: Any) -> dict[str, str]:
    here.core.order(name, state, ((item, quantity, 1000 * quantity),))
    if values:
        here.core.change(tables.MIRAKL_ORDERS, f"order_id = '{name}'", **values)
    return {"order_id": name}


def _move(here: Scene, name: str, state: str) -> None:
    """The marketplace shows the order, with its lines, in another state."""
    here.core.change(tables.MIRAKL_ORDERS, f"order_id = '{name}'", order_state=state)
    here.core.change(tables.MIRAKL_ORDER_LINES, f"order_id = '{name}'", line_state=state)


def _in_warehouse(here: Scene, name: str, status: str = "New") -> None:
    here.core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number=name, status=status)


def _returned(here: Scene, name: str, state: str = "IN_PROGRESS", **values: Any) -> dict[str, str]:
    """A received order, and a return of it."""
    _order(here, name, "RECEIVED", quantity=values.pop("units", 1))
    here.core.returned(f"R-{name}", name, state, ((f"{name}-1", values.pop("announced", 1)),), **values)
    return {"return_id": f"R-{name}"}


def _on_platform(here: Scene, name: str, **values: Any) -> None:
    values = {"status": "IN_PROGRESS", "order_id": name, **values}
    here.core.on_platform(f"R-{name}", f"P-{name}", external_id=f"R-{name}", **values)


def _end(here: Scene, name: str, state: str = "CLOSED") -> None:
    here.core.change(tables.MIRAKL_RETURNS, f"return_id = 'R-{name}'", return_state=state, updated_at=NOW)


def _ack_overdue(here: Scene) -> Play:
    """Nobody accepted the order for five hours; then it is accepted."""
    yield _order(here, "ACK", "WAITING_ACCEPTANCE", created_at=moment(5))
    _move(here, "ACK", "WAITING_DEBIT")


def _wms_order_missing(here: Scene) -> Play:
    """The warehouse does not show an order paid three hours ago; then it does."""
    yield _order(here, "MISSING", "SHIPPING", customer_debited_at=moment(3))
    _in_warehouse(here, "MISSING")
    here.core.put(
        tables.PEOPLEVOX_SALES_ORDER_ITEMS, sales_order_number="MISSING", line="1", item_code="SKU-A", quantity=1
    )


def _sku_unmapped(here: Scene) -> Play:
    """The warehouse's catalogue has the item under another code; skus.csv then names it."""
    here.core.put(tables.PEOPLEVOX_ITEM_TYPES, item_code="A", is_listed=True)
    yield _order(here, "SKU", "SHIPPING", item="UNKNOWN")
    here.mapping("skus", "asos_uk,UNKNOWN,A")


def _sku_audit_diff(here: Scene) -> Play:
    """An offer's item is written in other letters in the warehouse; then it has that spelling too."""
    here.core.put(tables.MIRAKL_OFFERS, offer_sku="Case-1", quantity=0, currency="GBP")
    here.core.put(tables.PEOPLEVOX_ITEM_TYPES, item_code="CASE-1", is_listed=True)
    yield {"offer_sku": "Case-1"}
    here.core.change(tables.PEOPLEVOX_ITEM_TYPES, "item_code = 'CASE-1'", item_code="Case-1")


def _despatch_unmapped_carrier(here: Scene) -> Play:
    """A parcel left with a carrier that carriers.csv does not name; then it does."""
    order = _order(here, "CARRIER", "SHIPPING", shipping_deadline_at=NOW + timedelta(hours=20))
    _in_warehouse(here, "CARRIER", "Despatched")
    here.core.put(
        tables.PEOPLEVOX_DESPATCHES,
        despatch_number="D-CARRIER",
        sales_order_number="CARRIER",
        item_code="A",
        row_no=1,
        quantity=1,
        carrier=UNMAPPED_CARRIER,
        despatched_at=moment(2),
    )
    yield order
    here.mapping("carriers", f"peoplevox,{UNMAPPED_CARRIER},DPDUK,DPD UK,")


def _return_waiting_order(here: Scene) -> Play:
    """A return came before its order; then the order comes."""
    here.core.returned("R-EARLY", "EARLY", "WAITING_ACCEPTANCE", (("EARLY-1", 1),))
    yield {"return_id": "R-EARLY"}
    _order(here, "EARLY", "RECEIVED")


def _return_ineligible(here: Scene) -> Play:
    """A second return of the only unit; then it is refused."""
    _returned(here, "TWICE", created_at=moment(48))
    _on_platform(here, "TWICE")
    here.core.returned("R-TWICE2", "TWICE", "WAITING_ACCEPTANCE", (("TWICE-1", 1),), created_at=moment(24))
    yield {"return_id": "R-TWICE2"}
    here.core.change(tables.MIRAKL_RETURNS, "return_id = 'R-TWICE2'", return_state="REFUSED")


def _reason_unmapped(here: Scene) -> Play:
    """The customer's reason is in no mapping; then reasons.csv has it."""
    yield _returned(here, "REASON", "WAITING_ACCEPTANCE", reason=UNMAPPED_REASON)
    here.mapping("reasons", f"mirakl,{UNMAPPED_REASON},create_return,reveni,other,,")


def _status_drift(here: Scene) -> Play:
    """The platform ended a return two days ago and the marketplace did not; then it did."""
    about = _returned(here, "DRIFT")
    _on_platform(here, "DRIFT", status="COMPLETED", updated_at=moment(48))
    yield about
    _end(here, "DRIFT")


def _incident_drift(here: Scene) -> Play:
    """An incident of three days that no return belongs to; then it is closed."""
    about = _order(here, "INCIDENT", "RECEIVED")
    line = "order_line_id = 'INCIDENT-1'"
    facts = {"line_state": "INCIDENT_OPEN", "line_state_reason_code": "3", "updated_at": moment(72)}
    here.core.change(tables.MIRAKL_ORDER_LINES, line, **facts)
    yield about
    here.core.change(tables.MIRAKL_ORDER_LINES, line, line_state="RECEIVED", line_state_reason_code=None)


def _asn_missing(here: Scene) -> Play:
    """A parcel was inspected that the warehouse did not expect; then its expected receipt is keyed in."""
    _returned(here, "ASN")
    here.core.inspected("C-ASN", "ASN", "A")
    yield {"parcel_id": "R-ASN"}
    here.core.put(tables.PEOPLEVOX_PURCHASE_ORDERS, purchase_order_number="RTN-R-ASN", status="Received")
    here.core.put(
        tables.PEOPLEVOX_PURCHASE_ORDER_ITEMS,
        purchase_order_number="RTN-R-ASN",
        line="1",
        item_code="A",
        quantity=1,
        status="Received",
    )


def _receipt_unexpected(here: Scene) -> Play:
    """Goods came back that no return announced; then the customer has one opened."""
    about = _order(here, "SURPRISE", "RECEIVED")
    here.core.inspected("C-SURPRISE", "SURPRISE", "A")
    yield about
    here.core.returned("R-SURPRISE", "SURPRISE", lines=(("SURPRISE-1", 1),))


def _receipt_wrong_item(here: Scene) -> Play:
    """Another item came than was announced; once agreed with the customer, the return is closed."""
    about = _returned(here, "WRONG")
    here.core.inspected("C-WRONG", "WRONG", "Z", condition="Wrong item")
    yield about
    _end(here, "WRONG")


def _receipt_short(here: Scene) -> Play:
    """One of two units came four days ago; then the other turns up."""
    about = _returned(here, "SHORT", units=2, announced=2)
    here.core.inspected("C-SHORT", "SHORT", "A", returned_at=moment(100))
    yield about
    here.core.inspected("C-SHORT2", "SHORT", "A", returned_at=NOW)


def _inspection_overdue(here: Scene) -> Play:
    """The carrier delivered five days ago and nobody opened the parcel; then it is inspected."""
    about = _returned(here, "UNOPENED")
    _on_platform(here, "UNOPENED", received_at=moment(120))
    yield about
    here.core.inspected("C-UNOPENED", "UNOPENED", "A", returned_at=NOW)


def _refund_due_soon(here: Scene) -> Play:
    """Nine tenths of the refund's time are over; then the refund shows."""
    about = _returned(here, "SOON", created_at=moment(400))
    _on_platform(here, "SOON", received_at=NOW - 0.9 * timedelta(hours=here.shop.policy.refund_deadline_hours))
    yield about
    here.core.refunded("F-SOON", "SOON-1", 1000)


def _refund_overdue(here: Scene) -> Play:
    """The refund's time is over; then the refund shows."""
    about = _returned(here, "LATE", created_at=moment(500))
    _on_platform(here, "LATE", received_at=NOW - timedelta(hours=here.shop.policy.refund_deadline_hours + 1))
    yield about
    here.core.refunded("F-LATE", "LATE-1", 1000)


def _refund_rejected_state(here: Scene) -> Play:
    """The order is closed on the marketplace, which takes no refund then; the operator makes it."""
    about = _returned(here, "CLOSED")
    _move(here, "CLOSED", "CLOSED")
    here.core.inspected("C-CLOSED", "CLOSED", "A")
    yield about
    here.core.refunded("F-CLOSED", "CLOSED-1", 1000)


def _stock_stale(here: Scene) -> Play:
    """Twelve items on sale vanish from the warehouse's list at once; then the list is whole again."""
    for number in range(12):
        sku = f"VANISHED-{number}"
        here.core.put(tables.MIRAKL_OFFERS, offer_sku=sku, quantity=5, currency="GBP")
        here.core.put(tables.PEOPLEVOX_STOCK, item_code=sku, site="MAIN", available=5, is_listed=False)
    yield {"stream": "peoplevox/stock"}
    here.core.change(tables.PEOPLEVOX_STOCK, "item_code LIKE 'VANISHED-%'", is_listed=True)


def _cancel_race(here: Scene) -> Play:
    """Cancelled on the marketplace a day ago and still in the warehouse; then it is cancelled there too."""
    about = _order(here, "RACE", "CANCELED", updated_at=moment(30))
    _in_warehouse(here, "RACE")
    yield about
    here.core.change(tables.PEOPLEVOX_SALES_ORDERS, "sales_order_number = 'RACE'", status="Cancelled")


def _enum_new(here: Scene) -> Play:
    """The platform uses a status that no table names; then statuses.csv does."""
    _returned(here, "WORD")
    _on_platform(here, "WORD", status="BEAMED_UP")
    yield {"place": "return_status", "value": "beamed_up"}
    here.mapping("statuses", "reveni,beamed_up,in_transit")


CASES = [
    Case("ACK_OVERDUE", _ack_overdue),
    Case("WMS_ORDER_MISSING", _wms_order_missing),
    Case("SKU_UNMAPPED", _sku_unmapped),
    Case("SKU_AUDIT_DIFF", _sku_audit_diff),
    Case("DESPATCH_UNMAPPED_CARRIER", _despatch_unmapped_carrier, has_own_clock=True),
    Case("RETURN_WAITING_ORDER", _return_waiting_order),
    Case("RETURN_INELIGIBLE", _return_ineligible),
    Case("REASON_UNMAPPED", _reason_unmapped),
    Case("STATUS_DRIFT", _status_drift),
    Case("INCIDENT_DRIFT", _incident_drift),
    Case("ASN_MISSING", _asn_missing),
    Case("RECEIPT_UNEXPECTED", _receipt_unexpected),
    Case("RECEIPT_WRONG_ITEM", _receipt_wrong_item),
    Case("RECEIPT_SHORT", _receipt_short),
    Case("INSPECTION_OVERDUE", _inspection_overdue),
    Case("REFUND_DUE_SOON", _refund_due_soon, has_own_clock=True),
    Case("REFUND_OVERDUE", _refund_overdue, has_own_clock=True),
    Case("REFUND_REJECTED_STATE", _refund_rejected_state, has_own_clock=True),
    Case("STOCK_STALE", _stock_stale),
    Case("CANCEL_RACE", _cancel_race),
    Case("ENUM_NEW", _enum_new),
]
