"""The two CSV files of a Reveni export, as the objects its API gives.

Here: columns, which of them a file must have, and one return built from its row and its item rows. Not here: folders,
encodings, files taken before. Invariant: the object has the shape of the API's return, money stays the text it was, and a
value that cannot be read stays text for the lake to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RETURN_COLUMNS_NEEDED = ("return_id", "order_external_id", "status", "currency", "created_at", "updated_at")
ITEM_COLUMNS_NEEDED = ("return_id", "item_id", "sku", "quantity")

_DELIVERY = ("carrier", "tracking_number", "label_url")
_FLAGS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}
_RETURN_NAMES = {"return_id": "id", "transaction_type": "type"}
_ITEM_NAMES = {"item_id": "id", "review_result": "status"}


def return_object(row: Mapping[str, str], items: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Build one return from its row and its item rows; empty cells are None, columns unknown here keep their name.

    Refunds are not part of the export, so `refunds` is left out rather than said to be none.
    """
    found: dict[str, Any] = {
        "order": {"external_id": _or_none(row, "order_external_id"), "name": _or_none(row, "order_name")},
        "delivery": {name: _or_none(row, name) for name in _DELIVERY},
    }
    for column, value in row.items():
        if column in _DELIVERY or column.startswith("order_"):
            continue
        found[_RETURN_NAMES.get(column, column)] = value or None
    found["status"] = row["status"].lower()
    if found.get("type"):
        found["type"] = found["type"].lower()
    if row.get("is_instant"):
        found["is_instant"] = _FLAGS.get(row["is_instant"].lower(), row["is_instant"])
    found["return_items"] = [_item_object(item) for item in items]
    return found


def _item_object(row: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        _ITEM_NAMES.get(column, column): value or None for column, value in row.items() if column != "return_id"
    }
    found["quantity"] = (
        int(row["quantity"]) if row["quantity"].isascii() and row["quantity"].isdigit() else row["quantity"]
    )
    found["status"] = (row.get("review_result") or row.get("status") or "pending").lower()
    found["exchange"] = _json_or_text(row.get("exchange", ""))
    return found


def _or_none(row: Mapping[str, str], column: str) -> str | None:
    return row.get(column) or None


def _json_or_text(value: str) -> Any:
    if not value:
        return None
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
