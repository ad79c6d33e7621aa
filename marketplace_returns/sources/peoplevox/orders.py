"""What is saved into the warehouse: sales orders and purchase orders (expected returns), and what became of each.

Here: the facts of an order and its rows in the import templates. Not here: sending. Invariant: a key is written whole
or the order is refused before it leaves: a number cut to the template's length could meet another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marketplace_returns.sources.peoplevox.dialect import to_import_date

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from zoneinfo import ZoneInfo

SALES_ORDER_NUMBER_LENGTH_MAX = 30
PURCHASE_ORDER_NUMBER_LENGTH_MAX = 50
LINE_LENGTH_MAX = 16
CANCELLED = "Cancelled"
CLOSED = "Closed"
"""The status of a purchase order line that is expected no more."""

Row = dict[str, str]


@dataclass(frozen=True)
class Address:
    """Where a parcel goes."""

    line_1: str = ""
    line_2: str = ""
    city: str = ""
    region: str = ""
    postcode: str = ""
    country: str = ""


@dataclass(frozen=True)
class SalesOrderItem:
    """One line; `sale_price` in major units of the shop's currency (the templates have no currency column)."""

    line: str
    item_code: str
    quantity: int
    sale_price: Decimal | None = None


@dataclass(frozen=True)
class SalesOrder:
    """One order to pick and send; `number` is the marketplace order id and its key in the warehouse."""

    number: str
    items: tuple[SalesOrderItem, ...]
    customer: str = ""
    contact_name: str = ""
    email: str = ""
    ship_to: Address = Address()
    service_type: str = ""
    channel_name: str = ""
    created_at: datetime | None = None
    deliver_by: datetime | None = None


@dataclass(frozen=True)
class PurchaseOrderItem:
    """One line of an expected return."""

    line: str
    item_code: str
    quantity: int
    status: str = "Pending"


@dataclass(frozen=True)
class PurchaseOrder:
    """One expected return; `number` is `RTN-<return id>` and its key in the warehouse."""

    number: str
    items: tuple[PurchaseOrderItem, ...]
    reference: str = ""
    supplier: str = ""


@dataclass(frozen=True)
class Saved:
    """The warehouse took the order with all its lines."""

    number: str


@dataclass(frozen=True)
class Refused:
    """The warehouse did not take the order, or not all of its lines; `is_header_saved` tells that a part is there."""

    number: str
    text: str
    is_header_saved: bool = False


Outcome = Saved | Refused


def fault_of(order: SalesOrder | PurchaseOrder) -> str:
    """Return why an order cannot be saved as it is, or nothing."""
    longest = SALES_ORDER_NUMBER_LENGTH_MAX if isinstance(order, SalesOrder) else PURCHASE_ORDER_NUMBER_LENGTH_MAX
    if not order.number or len(order.number) > longest:
        return f"the number {order.number!r} must have 1 to {longest} characters"
    if not order.items:
        return "the order has no lines"
    lines = [item.line for item in order.items]
    if len(set(lines)) != len(lines):
        return "two lines of the order have the same key"
    return next((fault for item in order.items if (fault := _line_fault(item))), "")


def _line_fault(item: SalesOrderItem | PurchaseOrderItem) -> str:
    if not item.line or len(item.line) > LINE_LENGTH_MAX:
        return f"the line key {item.line!r} must have 1 to {LINE_LENGTH_MAX} characters"
    if not item.item_code:
        return f"line {item.line!r} has no item code"
    if item.quantity < 1:
        return f"line {item.line!r} has quantity {item.quantity}: it must be at least 1"
    return ""


def sales_order_row(order: SalesOrder, zone: ZoneInfo) -> Row:
    """Return the row of template `Sales orders`: default headers, empty values left out by `used_headers`."""
    ship_to = order.ship_to
    return {
        "SalesOrderNumber": order.number,
        "Customer": order.customer,
        "CustomerPurchaseOrderReferenceNumber": order.number,
        "ShippingAddressLine1": ship_to.line_1,
        "ShippingAddressLine2": ship_to.line_2,
        "ShippingAddressCity": ship_to.city,
        "ShippingAddressRegion": ship_to.region,
        "ShippingAddressPostcode": ship_to.postcode,
        "ShippingAddressCountry": ship_to.country,
        "Email": order.email,
        "ContactName": order.contact_name,
        "CreatedDate": "" if order.created_at is None else to_import_date(order.created_at, zone),
        "RequestedDeliveryDate": "" if order.deliver_by is None else to_import_date(order.deliver_by, zone),
        "ServiceType": order.service_type,
        "ChannelName": order.channel_name,
    }


def sales_order_item_rows(order: SalesOrder) -> list[Row]:
    """Return the rows of template `Sales order items`."""
    return [
        {
            "SalesOrderNumber": order.number,
            "ItemCode": item.item_code,
            "QuantityOrdered": str(item.quantity),
            "Line": item.line,
            "SalePrice": "" if item.sale_price is None else f"{item.sale_price:f}",
        }
        for item in order.items
    ]


def purchase_order_row(order: PurchaseOrder) -> Row:
    """Return the row of template `Purchase orders`."""
    return {
        "PurchaseOrderNumber": order.number,
        "Status": "Pending",
        "Reference": order.reference or order.number,
        "Supplier": order.supplier,
    }


def purchase_order_item_rows(order: PurchaseOrder) -> list[Row]:
    """Return the rows of template `Purchase order items`."""
    return [
        {
            "PurchaseOrderNumber": order.number,
            "ItemCode": item.item_code,
            "Quantity": str(item.quantity),
            "Line": item.line,
            "Status": item.status,
        }
        for item in order.items
    ]


def used_headers(rows: list[Row]) -> list[str]:
    """Return the headers that any row has a value for: partial sets are taken, and a blank column may reset a field."""
    return [header for header in rows[0] if any(row[header] for row in rows)]
