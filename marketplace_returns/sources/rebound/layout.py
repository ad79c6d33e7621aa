"""One shape of a ReBound return, whichever generation or file it comes from.

Here: the names of that shape (those of the older API), what is left out, and how ReBound writes instants. Not here: calls,
files, the meaning of a status. Invariants: fields that are unknown here keep their name; the label and the customer's own
words are left out; amounts stay the text they were; what is no instant stays text for the lake to judge.

Nothing public says where ReBound keeps a line's key of ours and the SKU that came instead: `LINE_KEY_FIELD` and
`RECEIVED_SKU_FIELD` are the assumption, both among the item's free fields.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RECEIVED_SKU_FIELD = "field1"
LINE_KEY_FIELD = "field2"

RETURN_COLUMNS_NEEDED = ("id", "order_reference", "date_added")
ITEM_COLUMNS_NEEDED = ("return_id", "sku_code", "quantity")

_LEFT_OUT = frozenset({"label"})  # base64 of a PDF with the customer's address
_V2_NAMES = {"order_number": "order_reference", "external_reference": "external_id", "created_at": "date_added"}
_V2_LINE_NAMES = {
    "line_id": "item_id",
    "external_reference": "line_key",
    "sku": "sku_code",
    "quantity_expected": "quantity",
    "disposition": "final_disposition",
    "unit_price": "price",
}
_CANCELLED = frozenset({"cancelled", "canceled"})
_WALL_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y")
_UNIX_SECONDS = re.compile(r"\d{9,10}", re.ASCII)


def legacy_return(
    found: Mapping[str, Any], track: Sequence[Mapping[str, Any]] | None, label_url_template: str = ""
) -> dict[str, Any]:
    """Shape the older API's return and its tracking; `track` is None where it has no tracking yet."""
    shaped = {name: value for name, value in found.items() if name not in _LEFT_OUT}
    for name in ("date_added", "tracking_last_update"):
        shaped[name] = instant(found.get(name))
    shaped["status"] = found.get("current_tracking_status")
    items = found.get("item") or ()
    shaped["item"] = (
        [_legacy_item(item, number) for number, item in enumerate(items, start=1)] if _is_list(items) else items
    )
    shaped["track"] = [
        {"dt": instant(event.get("dt")), "status": event.get("status"), "country": _country(event)}
        for event in track or ()
        if isinstance(event, dict)
    ]
    return _with_label(shaped, label_url_template)


def current_return(found: Mapping[str, Any], label_url_template: str = "") -> dict[str, Any]:
    """Shape the newer API's return order; its milestone is the status, but for a cancelled one."""
    shaped = {_V2_NAMES.get(name, name): value for name, value in found.items() if name not in {"lines", "parcels"}}
    status = str(found.get("status") or "")
    shaped["status"] = status if status.lower() in _CANCELLED else found.get("milestone") or status
    parcels = found.get("parcels")
    # each return order has parcels, and the first carries the tracking number
    parcel = parcels[0] if _is_list(parcels) and parcels and isinstance(parcels[0], dict) else {}
    shaped["tracking"] = parcel.get("tracking_number")
    shaped["carrier"] = parcel.get("carrier")
    shaped["label_url"] = parcel.get("label_url")
    lines = found.get("lines") or ()
    shaped["item"] = [_current_line(line) for line in lines] if _is_list(lines) else lines
    # The list tells where a return stands, not when it came there: it stood there at its last change at the latest.
    shaped["track"] = [{"dt": found.get("updated_at"), "status": shaped["status"], "country": None}]
    return _with_label(shaped, label_url_template)


def current_creation(body: Mapping[str, Any]) -> dict[str, Any]:
    """Write the body of a creation in the names of the newer API."""
    return {
        "external_reference": body["external_id"],
        "order_number": body["order_reference"],
        "lines": [
            {
                "external_reference": item["custom_fields"][LINE_KEY_FIELD],
                "sku": item["sku_code"],
                "quantity_expected": int(item["quantity"]),
                "unit_price": item["price"],
                "reason": item["reason"][0]["reason"],
            }
            for item in body["item"]
        ],
    }


def file_return(row: Mapping[str, str], items: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Shape one return of an export from its row and its item rows; empty cells are None."""
    found: dict[str, Any] = {name: value or None for name, value in row.items()}
    found["item"] = [_file_item(item) for item in items]
    shaped = legacy_return(found, None)
    if shaped["status"] is not None:
        dt = shaped["tracking_last_update"] or shaped["date_added"]
        shaped["track"] = [{"dt": dt, "status": shaped["status"], "country": None}]
    shaped["label_url"] = found.get("label_url")
    return shaped


def instant(value: object) -> object:
    """Write one of ReBound's instants as ISO 8601 in UTC; its clock is UTC and it writes wall time or Unix seconds."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not text:
        return None
    if _UNIX_SECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC).isoformat()
    for form in _WALL_TIMES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).isoformat()
        except ValueError:
            continue
    return text


def _legacy_item(item: Any, number: int) -> Any:
    """Number an item by its place: there is no line id, and two items may have one SKU."""
    if not isinstance(item, dict):
        return item
    custom = item.get("custom_fields")
    custom = custom if isinstance(custom, dict) else {}
    reasons = item.get("reason")
    return {
        **item,
        "item_id": str(number),
        "line_key": custom.get(LINE_KEY_FIELD),
        "received_sku": custom.get(RECEIVED_SKU_FIELD),
        "reason": [_without_words(reason) for reason in reasons] if isinstance(reasons, list) else [],
    }


def _without_words(reason: Any) -> Any:
    """Leave out what the customer wrote: it may name anybody."""
    return (
        {name: value for name, value in reason.items() if name != "additional"} if isinstance(reason, dict) else reason
    )


def _current_line(line: Any) -> Any:
    if not isinstance(line, dict):
        return line
    shaped = {_V2_LINE_NAMES.get(name, name): value for name, value in line.items()}
    shaped["reason"] = [{"reason": line.get("reason"), "wish": line.get("resolution")}]
    return shaped


def _file_item(row: Mapping[str, str]) -> dict[str, Any]:
    item: dict[str, Any] = {name: value or None for name, value in row.items() if name != "return_id"}
    item["custom_fields"] = {
        name.removeprefix("custom_"): value or None for name, value in row.items() if name.startswith("custom_field")
    }
    item["reason"] = [{name: row.get(name) or None for name in ("reason", "action", "wish")}]
    return item


def _with_label(shaped: dict[str, Any], template: str) -> dict[str, Any]:
    """Put in the shop's own address of the label where ReBound gives none."""
    if template and not shaped.get("label_url"):
        values = {"{id}": shaped.get("id"), "{tracking}": shaped.get("tracking"), "{key}": shaped.get("external_id")}
        needed = {name: value for name, value in values.items() if name in template}
        if all(needed.values()):
            for name, value in needed.items():
                template = template.replace(name, quote(str(value), safe=""))
            shaped["label_url"] = template
    return shaped


def _country(event: Mapping[str, Any]) -> object:
    """Keep of a scan's place the country: the city is the customer's."""
    place = event.get("location")
    return place.get("country") if isinstance(place, dict) else None


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
