"""What the Peoplevox face shows of the warehouse: GetData templates and GetReportData reports, column by column.

Captions are the vendor's, misspellings kept (`ExpectededDeliveryDate`, `Salesorder number`). A column the sandbox has
nothing for is there and empty, as in a real export. Values stay typed here; `peoplevox_csv` renders them.

Invariant: `records` may skip only what the clause rules out anyway, so paging and counting stay exact.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from marketplace_returns.sandbox.catalogue import CARRIERS, RETURN_REASONS
from marketplace_returns.sandbox.peoplevox_clauses import Clause, equal_keys, lower_bound
from marketplace_returns.sandbox.peoplevox_csv import Value
from marketplace_returns.sandbox.warehouse import (
    DespatchRow,
    PurchaseOrder,
    PurchaseOrderItem,
    ReturnRow,
    SalesOrder,
    SalesOrderItem,
)
from marketplace_returns.sandbox.world import World

IMPORT_DATE_FORMAT: Final = "%Y-%m-%d %H:%M:%S"

# One column: what it shows of a record. Records are the warehouse's own rows, so a table's columns share one type.
Column = Callable[[World, Any], Value]
_Order = TypeVar("_Order", SalesOrder, PurchaseOrder)


@dataclass(frozen=True)
class Table:
    """A template or report: its columns in order, and where its rows come from."""

    columns: Mapping[str, Column]
    records: Callable[[World, Clause | None], Iterable[Any]]


def tenant_zone(world: World) -> ZoneInfo:
    """The zone of the tenant's wall times."""
    return ZoneInfo(world.config.time_zone)


def imported_date(text: str, zone: ZoneInfo) -> datetime | None:
    """The instant of an imported tenant-local `yyyy-MM-dd HH:mm:ss`, None when it is no such date."""
    try:
        return datetime.strptime(text, IMPORT_DATE_FORMAT).replace(tzinfo=zone)
    except ValueError:
        return None


def _headers(text: str) -> tuple[str, ...]:
    """The headers of an import template, in the vendor's order."""
    return tuple(text.split())


SALES_ORDER_HEADERS: Final = _headers(
    "SalesOrderNumber Customer CustomerPurchaseOrderReferenceNumber ShippingAddressLine1 ShippingAddressLine2 "
    "ShippingAddressCity ShippingAddressRegion ShippingAddressPostcode ShippingAddressCountry "
    "ShippingAddressReference InvoiceAddressLine1 InvoiceAddressLine2 InvoiceAddressCity InvoiceAddressRegion "
    "InvoiceAddressPostcode InvoiceAddressCountry InvoiceAddressReference IsPartialShipment Status "
    "RequestedDeliveryDate ShippingCost Email ContactName TotalSale Discount TaxPaid CreatedDate PaymentMethod "
    "ServiceType ChannelName Site OnHold Attribute1 Attribute2 Attribute3 Attribute4 Attribute5"
)
SALES_ORDER_ITEM_HEADERS: Final = _headers(
    "SalesOrderNumber ItemCode QuantityOrdered RequestedDeliveryDate Line Sequence SalePrice Attribute1 Attribute2 "
    "Attribute3"
)
PURCHASE_ORDER_HEADERS: Final = _headers(
    "PurchaseOrderNumber Status Reference Supplier AddressLine1 AddressLine2 AddressCity AddressRegion "
    "AddressPostcode AddressCountry AddressReference RequestedDeliveryDate SubmittedDate User EndDate "
    "ExpectedDeliveryDate"
)
PURCHASE_ORDER_ITEM_HEADERS: Final = _headers(
    "PurchaseOrderNumber ItemCode Status Quantity RequestedDeliveryDate Line Sequence CostPrice ExpectededDeliveryDate"
)
_ITEM_TYPE_HEADERS: Final = _headers(
    "ItemCode Name Barcode ItemGroup RetailPrice Description UnitOfMeasure DefaultEconomicOrderQuantity "
    "DefaultLeadTime DefaultSuppliersPartNumber HasSerialNumbers UseManufacturersSerialNumber ReorderPoint "
    "Traceability ShelfLife BuyPrice WholesalePrice Weight WeightMeasure Height Width Depth DimensionMeasure Tags "
    "TaxCode"
)


def _imported(headers: Iterable[str], own: Mapping[str, Column]) -> dict[str, Column]:
    """Columns of an import template: what was imported, but for the columns the warehouse itself knows."""

    def from_fields(header: str) -> Column:
        def read(world: World, record: Any) -> Value:
            text: str = record.fields.get(header, "")
            return (imported_date(text, tenant_zone(world)) or text) if header.endswith("Date") and text else text

        return read

    return {header: own.get(header) or from_fields(header) for header in headers}


def _created_date(world: World, order: SalesOrder) -> Value:
    return imported_date(order.fields.get("CreatedDate", ""), tenant_zone(world)) or order.created_at


def _sales_orders(world: World, clause: Clause | None) -> Iterable[SalesOrder]:
    return _by_number(clause, "SalesOrderNumber", world.warehouse.orders)


def _sales_order_items(world: World, clause: Clause | None) -> Iterable[SalesOrderItem]:
    return (item for order in _sales_orders(world, clause) for item in order.items.values())


def _purchase_orders(world: World, clause: Clause | None) -> Iterable[PurchaseOrder]:
    return _by_number(clause, "PurchaseOrderNumber", world.warehouse.purchase_orders)


def _purchase_order_items(world: World, clause: Clause | None) -> Iterable[PurchaseOrderItem]:
    return (item for order in _purchase_orders(world, clause) for item in order.items.values())


def _by_number(clause: Clause | None, field: str, known: Mapping[str, _Order]) -> Iterable[_Order]:
    numbers = equal_keys(clause, field)
    if numbers is None:
        return known.values()
    return [known[number] for number in sorted(numbers) if number in known]


TEMPLATES: Final[Mapping[str, Table]] = {
    "Sales orders": Table(
        _imported(
            SALES_ORDER_HEADERS,
            {
                "SalesOrderNumber": lambda _, order: order.number,
                "Status": lambda _, order: order.status,
                "CreatedDate": _created_date,
                "Site": lambda world, order: order.fields.get("Site") or world.config.site,
                "OnHold": lambda _, order: order.fields.get("OnHold") or "False",
            },
        ),
        _sales_orders,
    ),
    "Sales order items": Table(
        _imported(
            SALES_ORDER_ITEM_HEADERS,
            {
                "SalesOrderNumber": lambda _, item: item.number,
                "ItemCode": lambda _, item: item.item_code,
                "QuantityOrdered": lambda _, item: item.quantity,
                "Line": lambda _, item: item.line,
            },
        ),
        _sales_order_items,
    ),
    "Purchase orders": Table(
        _imported(
            PURCHASE_ORDER_HEADERS,
            {
                "PurchaseOrderNumber": lambda _, order: order.number,
                "Status": lambda _, order: order.status,
                "SubmittedDate": lambda _, order: order.created_at,
            },
        ),
        _purchase_orders,
    ),
    "Purchase order items": Table(
        _imported(
            PURCHASE_ORDER_ITEM_HEADERS,
            {
                "PurchaseOrderNumber": lambda _, item: item.number,
                "ItemCode": lambda _, item: item.item_code,
                "Quantity": lambda _, item: item.quantity,
                "Line": lambda _, item: item.line,
                "Status": lambda _, item: item.fields.get("Status") or "Pending",
            },
        ),
        _purchase_order_items,
    ),
    "Item types": Table(
        {header: lambda _world, _product: "" for header in _ITEM_TYPE_HEADERS}
        | {
            "ItemCode": lambda _, product: product.sku,
            "Name": lambda _, product: product.title,
            "Barcode": lambda _, product: product.barcode,
            "ItemGroup": lambda _, product: product.category_label,
            "RetailPrice": lambda _, product: str(Decimal(product.price_minor).scaleb(-2)),
            "HasSerialNumbers": lambda _world, _product: False,
            "UseManufacturersSerialNumber": lambda _world, _product: False,
        },
        lambda world, _: world.warehouse.item_types(),
    ),
    "Sites": Table(
        {"Name": lambda _, site: site, "Reference": lambda _, site: site},
        lambda world, _: [world.config.site, *world.config.other_sites],
    ),
    "Carriers": Table(
        {"Name": lambda _, carrier: carrier.warehouse_name, "Reference": lambda _, carrier: carrier.warehouse_name},
        lambda _world, _clause: CARRIERS,
    ),
    "Service types": Table(
        {
            "Carrier": lambda _, carrier: carrier.warehouse_name,
            "Name": lambda _, carrier: carrier.warehouse_service,
            "Code": lambda _, carrier: carrier.code,
        },
        lambda _world, _clause: CARRIERS,
    ),
    "Return reasons": Table({"Name": lambda _, reason: reason}, lambda _world, _clause: RETURN_REASONS),
}


def _of_order(header: str) -> Column:
    """A column that a report takes from the sales order it speaks of; empty for an order unknown here."""

    def read(world: World, row: DespatchRow | ReturnRow) -> Value:
        order = world.warehouse.sales_order(row.sales_order_number)
        return "" if order is None else order.fields.get(header, "")

    return read


def _barcode(world: World, row: DespatchRow | ReturnRow) -> Value:
    return world.products[row.item_code].barcode


def _empty(_world: World, _record: object) -> Value:
    return ""


def _days_since_despatch(_: World, row: ReturnRow) -> Value:
    return None if row.despatched_at is None else (row.returned_at - row.despatched_at).days


def _since(field: str, world: World, clause: Clause | None) -> datetime | None:
    return lower_bound(clause, field, tenant_zone(world))


def _requested_date(world: World, record: SalesOrder | DespatchRow) -> Value:
    order = record if isinstance(record, SalesOrder) else world.warehouse.sales_order(record.sales_order_number)
    return None if order is None else imported_date(order.fields.get("RequestedDeliveryDate", ""), tenant_zone(world))


REPORTS: Final[Mapping[str, Table]] = {
    "Despatch summary": Table(
        {
            "Salesorder number": lambda _, row: row.sales_order_number,
            "Requested delivery date": _requested_date,
            "Despatch number": lambda _, row: row.despatch_number,
            "Carrier": lambda _, row: row.carrier,
            "Service": lambda _, row: row.service,
            "Despatch date": lambda _, row: row.despatched_at,
            "Tracking number": lambda _, row: row.tracking_number,
            "Item name": lambda _, row: row.item_name,
            "No of items": lambda _, row: row.quantity,
            "Destination country": _of_order("ShippingAddressCountry"),
            "Site reference": lambda _, row: row.site,
            "Parent": _empty,
            "Item code": lambda _, row: row.item_code,
            "Username": lambda _world, _row: "packer",
            "Carrier reference": lambda _, row: row.carrier,
            "Service type code": _empty,
            "Customer order reference": _of_order("CustomerPurchaseOrderReferenceNumber"),
            "Shipping cost": _of_order("ShippingCost"),
            "Email": _of_order("Email"),
            "Contact name": _of_order("ContactName"),
            "Total sale": _of_order("TotalSale"),
            "Discount": _of_order("Discount"),
            "Tax paid": _of_order("TaxPaid"),
            "Channel name": _of_order("ChannelName"),
            **{f"Sales order attribute {n}": _of_order(f"Attribute{n}") for n in range(1, 6)},
            "Item barcode": _barcode,
        },
        lambda world, clause: world.warehouse.despatch_rows(_since("Despatch date", world, clause)),
    ),
    "Return summary": Table(
        {
            "Return code": lambda _, row: row.return_code,
            "Return date": lambda _, row: row.returned_at,
            "Quantity": lambda _, row: row.quantity,
            "Item name": lambda _, row: row.item_name,
            "Sales order number": lambda _, row: row.sales_order_number,
            "Despatch date": lambda _, row: row.despatched_at,
            "Return reason": lambda _, row: row.reason,
            "Return condition": lambda _, row: row.condition,
            "Return comments": lambda _, row: row.comments,
            "Days since despatch": _days_since_despatch,
            "Item barcode": _barcode,
            "Sales order contact name": _of_order("ContactName"),
            "Customer phone number": _empty,
            "Item sale price": _empty,
            "Sales order email": _of_order("Email"),
            "Customer purchase order reference number": _of_order("CustomerPurchaseOrderReferenceNumber"),
            "Channel name": _of_order("ChannelName"),
            "Payment type": _of_order("PaymentMethod"),
            **{f"Attribute{n}": _of_order(f"Attribute{n}") for n in range(1, 16)},
            "Site reference": lambda _, row: row.site,
            "Is Reusable": lambda _, row: row.is_reusable,
            "Item code": lambda _, row: row.item_code,
        },
        lambda world, clause: world.warehouse.return_rows(_since("Return date", world, clause)),
    ),
    "Item inventory summary": Table(
        {
            "Item code": lambda _, row: row.item_code,
            "Item name": lambda _, row: row.item_name,
            "Available": lambda _, row: row.available,
            "On hand": lambda _, row: row.on_hand,
            "Allocated": lambda _, row: row.allocated,
            "Site reference": lambda _, row: row.site,
        },
        lambda world, _: world.warehouse.stock_rows(),
    ),
    "Goods in summary": Table(
        {
            "Goods in reference number": lambda _, row: row.reference,
            "Delivery date": lambda _, row: row.delivered_at,
            "Reconciled date": lambda _, row: row.delivered_at,
            "Carrier name": _empty,
            "User name": lambda _world, _row: "goods-in",
            "Item code": lambda _, row: row.item_code,
            "Item name": lambda _, row: row.item_name,
            "Item barcode": _barcode,
            "Quantity": lambda _, row: row.quantity,
            "Purchase order number": lambda _, row: row.purchase_order_number,
            "Delivery note number": _empty,
            "Site reference": lambda _, row: row.site,
            "Purchase order supplier": _empty,
        },
        lambda world, clause: world.warehouse.goods_in_rows(_since("Delivery date", world, clause)),
    ),
    "Sales order summary": Table(
        {
            "Sales order no.": lambda _, order: order.number,
            "Status": lambda _, order: order.status,
            "Number of items": lambda _, order: sum(item.quantity for item in order.items.values()),
            "Channel": lambda _, order: order.fields.get("ChannelName", ""),
            "Date": _created_date,
            "Requested delivery date": _requested_date,
        },
        lambda world, clause: _by_number(clause, "Sales order no.", world.warehouse.orders),
    ),
}
