"""SaveData of the Peoplevox face: the import templates, what a row must be, and what each action does with it.

A batch is judged row by row: a bad row is refused with its own text and the others stand. Only a header that the
template does not have, or a text that is no table, refuses the whole batch. What a good row changes is the warehouse's
business.

Invariant: one status per row, in the order of the rows; a row that is not `Success` changed nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from marketplace_returns.sandbox.peoplevox_tables import (
    IMPORT_DATE_FORMAT,
    PURCHASE_ORDER_HEADERS,
    PURCHASE_ORDER_ITEM_HEADERS,
    SALES_ORDER_HEADERS,
    SALES_ORDER_ITEM_HEADERS,
    imported_date,
    tenant_zone,
)
from marketplace_returns.sandbox.world import World

Row = Mapping[str, str]

ACTION_NONE: Final = 0
ACTION_DO_NOT_ALLOCATE: Final = 1
ACTION_DELETE: Final = 2

_AMOUNTS: Final = frozenset({"ShippingCost", "TotalSale", "Discount", "TaxPaid", "SalePrice", "CostPrice"})
_LENGTH_OTHER: Final = 50
_LENGTHS: Final[Mapping[str, int]] = {"SalesOrderNumber": 30, "Line": 16, "Email": 500}
_ITEM_STATUSES: Final = frozenset({"", "Pending", "Closed"})


@dataclass(frozen=True)
class ImportTemplate:
    """One importable template: default headers, those every batch needs, and the import of checked rows."""

    headers: Sequence[str]
    required: Sequence[str]
    apply: Callable[[World, Sequence[Row], int], list[str]]


class BadBatchError(ValueError):
    """The whole batch is refused (the message says why)."""


def save(
    world: World,
    template: ImportTemplate,
    given: Sequence[str],
    given_rows: Sequence[Row],
    *,
    defaults: Mapping[str, str],
    action: int,
) -> list[str]:
    """Import rows and return one status per row; `defaults` gives each header of this tenant its default name.

    Raises BadBatchError.
    """
    for header in given:
        if header not in defaults:
            raise BadBatchError(f"Column '{header}' does not exist in the template")
    headers = [defaults[header] for header in given]
    rows = [dict(zip(headers, row.values(), strict=True)) for row in given_rows]
    for header in template.required:
        if header not in headers:
            raise BadBatchError(f"Column '{header}' is missing")
    if action not in (ACTION_NONE, ACTION_DO_NOT_ALLOCATE, ACTION_DELETE):
        raise BadBatchError(f"Action {action} does not exist: 0, 1 (do not allocate) or 2 (delete)")
    refusals = [_refusal(world, row) for row in rows]
    accepted = [row for row, refusal in zip(rows, refusals, strict=True) if refusal is None]
    outcomes = iter(template.apply(world, accepted, action))
    return [refusal if refusal is not None else next(outcomes) for refusal in refusals]


def _refusal(world: World, row: Row) -> str | None:
    """Why a row cannot be imported as it is written, None when it can."""
    for header, text in row.items():
        length_max = _length_max(header)
        if len(text) > length_max:
            return f"{header} is longer than {length_max} characters"
        if text and header.endswith("Date") and imported_date(text, tenant_zone(world)) is None:
            return f"{header} '{text}' is not a date ({IMPORT_DATE_FORMAT})"
        if text and header in _AMOUNTS and not _is_amount(text):
            return f"{header} '{text}' is not a number"
    return None


def _length_max(header: str) -> int:
    if "Address" in header:
        return 100
    return 500 if header.startswith("Attribute") else _LENGTHS.get(header, _LENGTH_OTHER)


def _is_amount(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _sales_orders(world: World, rows: Sequence[Row], action: int) -> list[str]:
    if action == ACTION_DELETE:
        return [_delete_sales_order(world, row) for row in rows]
    return world.warehouse.import_sales_orders(rows)


def _delete_sales_order(world: World, row: Row) -> str:
    """Deleting cancels the order, once something left the house it is refused."""
    number = row["SalesOrderNumber"]
    order = world.warehouse.sales_order(number)
    if order is None:
        return f"Sales order '{number}' does not exist"
    if order.parcels:
        return f"Sales order '{number}' is already despatched"
    return world.warehouse.import_sales_orders([{"SalesOrderNumber": number, "Status": "Cancelled"}])[0]


def _sales_order_items(world: World, rows: Sequence[Row], action: int) -> list[str]:
    if action == ACTION_DELETE:
        return ["Sales order items cannot be deleted: cancel the sales order"] * len(rows)
    return world.warehouse.import_sales_order_items(rows, allocate=action != ACTION_DO_NOT_ALLOCATE)


def _purchase_orders(world: World, rows: Sequence[Row], action: int) -> list[str]:
    if action == ACTION_DELETE:
        return [_delete_purchase_order(world, row) for row in rows]
    return world.warehouse.import_purchase_orders(rows)


def _delete_purchase_order(world: World, row: Row) -> str:
    number = row["PurchaseOrderNumber"]
    if world.warehouse.purchase_order(number) is None:
        return f"Purchase order '{number}' does not exist"
    return world.warehouse.import_purchase_orders([{"PurchaseOrderNumber": number, "Status": "Deleted"}])[0]


def _purchase_order_items(world: World, rows: Sequence[Row], action: int) -> list[str]:
    if action == ACTION_DELETE:
        return ["Purchase order items cannot be deleted: delete the purchase order"] * len(rows)
    refusals = [
        f"Status '{row['Status']}' cannot be imported" if row.get("Status", "") not in _ITEM_STATUSES else None
        for row in rows
    ]
    accepted = [row for row, refusal in zip(rows, refusals, strict=True) if refusal is None]
    outcomes = iter(world.warehouse.import_purchase_order_items(accepted))
    return [refusal if refusal is not None else next(outcomes) for refusal in refusals]


IMPORTS: Final[Mapping[str, ImportTemplate]] = {
    "Sales orders": ImportTemplate(SALES_ORDER_HEADERS, ("SalesOrderNumber",), _sales_orders),
    "Sales order items": ImportTemplate(
        SALES_ORDER_ITEM_HEADERS, ("SalesOrderNumber", "ItemCode", "QuantityOrdered"), _sales_order_items
    ),
    "Purchase orders": ImportTemplate(PURCHASE_ORDER_HEADERS, ("PurchaseOrderNumber",), _purchase_orders),
    "Purchase order items": ImportTemplate(
        PURCHASE_ORDER_ITEM_HEADERS, ("PurchaseOrderNumber", "ItemCode", "Quantity"), _purchase_order_items
    ),
}
