"""The two CSV files of a ReturnGO export, as the objects its API gives.

Here: columns, which of them a file must have, and one RMA built from its row and its item rows. Not here: folders,
encodings, files taken before. Invariant: columns are named as the API's fields, the object has the shape of the API's RMA,
money stays the text it was, and a value that cannot be read stays text for the lake to judge.

Nobody documents ReturnGO's own report, so this layout is ours: `returngo_rmas_YYYYMMDD.csv` has a row for each RMA with the
parcel that comes back, `returngo_rma_items_YYYYMMDD.csv` one for each returned unit. `currency` beside an item is that of
`paidPrice`, `paidTax` and `transactionAmount`; a transaction of several units stands on the row of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RMA_COLUMNS_NEEDED = ("rmaId", "status", "order_name", "createdAt", "lastUpdated")
ITEM_COLUMNS_NEEDED = ("rmaId", "returnedItemId", "sku")

_SHIPMENT = ("shipmentId", "carrierName", "trackingNumber", "labelURL")
_VALIDATION = ("isRestockable", "isReturned", "nonRestockableReason", "nonReturnedReason", "lastValidationDate")
_TRANSACTION = {
    "transactionType": "type",
    "transactionStatus": "status",
    "processor": "processor",
    "externalReferenceId": "externalReferenceId",
    "externalReferenceType": "externalReferenceType",
    "transactionCreatedAt": "createdAt",
    "transactionLastUpdated": "lastUpdated",
}
_NOT_OF_THE_ITEM = frozenset(
    {"rmaId", "currency", "paidPrice", "paidTax", "transactionId", "transactionAmount", *_VALIDATION, *_TRANSACTION}
)


def rma_object(row: Mapping[str, str], items: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Build one RMA from its row and its item rows; empty cells are None, columns unknown here keep their name."""
    units = list(items)
    found: dict[str, Any] = {
        column: value or None
        for column, value in row.items()
        if column not in {"rmaId", "status", "order_name", "orderId", "shipmentStatus", *_SHIPMENT}
    }
    found["rmaSummary"] = {name: row.get(name) or None for name in ("rmaId", "status", "order_name")}
    found["orderDetails"] = {name: row.get(name) or None for name in ("orderId", "order_name")}
    found["shipments"] = (
        [{**{name: row.get(name) or None for name in _SHIPMENT}, "status": row.get("shipmentStatus") or None}]
        if row.get("shipmentId")
        else []
    )
    found["items"] = [_item_object(unit) for unit in units]
    found["transactions"] = _transactions(units)
    return found


def _item_object(row: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {column: value or None for column, value in row.items() if column not in _NOT_OF_THE_ITEM}
    for name in ("paidPrice", "paidTax"):
        found[name] = _money(row, name)
    found["itemValidationStatusResponse"] = {name: row.get(name) or None for name in _VALIDATION}
    return found


def _transactions(units: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in units:
        transaction_id = row.get("transactionId", "")
        if not transaction_id:
            continue
        if transaction_id not in found:
            found[transaction_id] = {
                "id": transaction_id,
                **{name: row.get(column) or None for column, name in _TRANSACTION.items()},
                "amount": _money(row, "transactionAmount"),
                "returnItemIds": [],
            }
        found[transaction_id]["returnItemIds"].append(row["returnedItemId"])
    return list(found.values())


def _money(row: Mapping[str, str], column: str) -> dict[str, str | None] | None:
    return {"amount": row[column], "currency": row.get("currency") or None} if row.get(column) else None
