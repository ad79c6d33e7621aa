"""What of a request is kept: which event, of which type, about which object.

Here: how each source says that, and how it signs. Not here: HTTP, tokens, what an event leads to. The invariants: nothing
else of a request leaves this module; what is not plainly an id is not taken for one, so that no name or address of a
shopper is ever kept.

What is assumed where nobody documents it stands in the tables below. Reveni: ``{id, event, created, data: {resource_id,
status}}``. ReBound v2: ``{id, type, occurred_at, data: {return_order_id}}``. ReturnGO: ``{eventName, rmaId, eventDate,
eventId}``. Peoplevox: form or query fields, as we subscribed to them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

SIGNATURE_HEADERS: Final[Mapping[str, bytes]] = MappingProxyType(
    {"reveni": b"x-reveni-signature", "rebound": b"x-rebound-signature"}
)
"""The header in which a source signs (``sha256=<hex HMAC of the raw body>``); the others sign nothing."""

FIELDS_MAX: Final = 50
_SIGNATURE: Final = re.compile(rb"sha256=([0-9a-fA-F]{64})")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:#/+()& -]{0,127}", re.ASCII)  # no @: an address of a person is no id
_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._]{0,63}", re.ASCII)


class NotReadable(Exception):
    """A request is not of its source's form; the message says how."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is kept: ``event_key`` is the source's own id of the event, else a hash of type and object."""

    shop: str
    source: str
    event_key: str
    has_own_id: bool
    event_type: str
    object_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class _Told:
    event_id: object
    event_type: object
    object_id: object


def read_event(shop: str, source: str, query: bytes, body: bytes, received_at: datetime) -> Event:
    """Return what is kept of a request; raises NotReadable where it is not of the source's form.

    A type or id that is not plainly one becomes empty: such an event still says that something changed.
    """
    told = _READERS[source](query, body)
    event_type, object_id, own = _matching(_TYPE, told.event_type), _matching(_ID, told.object_id), ""
    if told.event_id is not None:
        own = _matching(_ID, told.event_id)
    if own:
        return Event(shop, source, f"id:{own}", True, event_type, object_id, received_at)
    digest = hashlib.sha256(f"{event_type}\n{object_id}".encode()).hexdigest()
    return Event(shop, source, f"sha256:{digest}", False, event_type, object_id, received_at)


def is_signed(secret: bytes, header: bytes | None, body: bytes) -> bool:
    """Tell, in constant time, whether a header is the signature of a raw body under a secret."""
    found = _SIGNATURE.fullmatch(header.strip()) if header else None
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    return hmac.compare_digest(found[1].lower() if found else b"", expected)


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    words = str(value).strip() if isinstance(value, str) or abs(value) < 1 << 63 else ""
    return words if pattern.fullmatch(words) else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as bad:
        raise NotReadable("the body is not JSON") from bad
    if not isinstance(found, dict):
        raise NotReadable("the body is not a JSON object")
    return found


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _reveni(_: bytes, body: bytes) -> _Told:
    found = _object(body)
    return _Told(found.get("id"), found.get("event"), _part(found, "data").get("resource_id"))


def _rebound(_: bytes, body: bytes) -> _Told:
    found = _object(body)
    return _Told(found.get("id"), found.get("type"), _part(found, "data").get("return_order_id"))


def _returngo(_: bytes, body: bytes) -> _Told:
    found = _object(body)
    return _Told(found.get("eventId"), found.get("eventName"), found.get("rmaId"))


_OBJECT_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AvailabilityChanges": "ItemCode",
        "GoodsReceived": "ItemCode",
        "IncrementalChanges": "ItemCode",
        "SalesOrderStatusChanges": "SalesOrderNumber",
        "Returns": "SalesOrderNumber",
        "TrackingNumberReceived": "DespatchNumber",
        "DespatchPackageTrackingNumberReceived": "DespatchNumber",
        "DespatchPackageDespatched": "DespatchNumber",
        "OnDespatchOrderReceived": "DespatchNumber",
    }
)


def _peoplevox(query: bytes, body: bytes) -> _Told:
    try:
        pairs = [
            *parse_qsl(query.decode("ascii", "replace"), max_num_fields=FIELDS_MAX),
            *parse_qsl(body.decode("utf-8", "replace"), max_num_fields=FIELDS_MAX),
        ]
    except ValueError as bad:
        raise NotReadable(f"there are more than {FIELDS_MAX} fields") from bad
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    event_type = fields.get("event", "")
    if not event_type:
        raise NotReadable("there is no field `event`")
    return _Told(None, event_type, fields.get(_OBJECT_FIELDS.get(event_type, "")))


_READERS: Final[Mapping[str, Callable[[bytes, bytes], _Told]]] = MappingProxyType(
    {"reveni": _reveni, "rebound": _rebound, "returngo": _returngo, "peoplevox": _peoplevox}
)
