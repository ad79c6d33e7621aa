"""Which fields of a source's objects are personal.

Here lives the one list of personal fields and the split at landing. What must not: where they are kept (``personal_store``),
or a reason to read them; only the warehouse order does, at the moment it is sent. The invariant: what this list names never
reaches the lake, neither ``landing.payloads`` nor a core table or quarantine, nor a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class PersonalRule:
    """What is personal in one kind of object.

    Attributes:
        paths: dotted paths that are split off with all that is below them.
        kept: dotted paths below those that stay in the payload, for they name no person.
        dropped: paths that are taken out and kept nowhere, for nothing needs them; ``[]`` goes through a list's elements.
        words: a top-level field whose name holds one of these words is personal (flat exports with tenant captions).
        order: dotted paths of the field that names the order the object is of; the first that says something counts. An
            object that names none is known by its own id.
    """

    paths: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    order: tuple[str, ...] = ()


NOTHING = PersonalRule()
_WAREHOUSE = PersonalRule(
    words=(
        "customer",
        "contact",
        "email",
        "e-mail",
        "phone",
        "mobile",
        "address",
        "postcode",
        "recipient",
        "attention",
    ),
    order=("sales_order_number",),
)

RULES: Mapping[tuple[str, str], PersonalRule] = {
    ("mirakl", "order"): PersonalRule(
        paths=("customer", "customer_notification_email", "invoice_details", "order_additional_fields"),
        kept=("customer.shipping_address.country_iso_code",),
        dropped=("order_lines[].order_line_additional_fields",),  # the marketplace's own: engravings, names on a shirt
        order=("order_id",),
    ),
    # The customer's own words may name anybody.
    ("mirakl", "return"): PersonalRule(paths=("description", "documents"), order=("order_id",)),
    ("mirakl", "shipment"): PersonalRule(order=("order_id",)),
    ("mirakl", "transaction"): PersonalRule(paths=("entities.order.payment_info",), order=("entities.order.id",)),
    ("mirakl", "invoice"): PersonalRule(paths=("payment_info", "shop_address", "issuing_user.information")),
    ("mirakl", "platform"): PersonalRule(
        paths=(
            "settings.payment_info",
            "settings.contact_informations",
            "settings.contact_information",
            "settings.pro_details",
            "settings.email",
        )
    ),
    ("reveni", "return"): PersonalRule(
        paths=("customer", "order.customer"), words=("customer_",), order=("order.external_id", "order.name")
    ),
    # Who returned what is known from the marketplace; bank details, addresses and free words of ReturnGO serve nothing here.
    ("returngo", "return"): PersonalRule(
        dropped=(
            "rmaSummary.events[].userDetails",
            "shipments[].customerAddress",
            "shipments[].returnAddress",
            "items[].itemValidationStatusResponse.userDetails",
            "items[].itemValidationStatusResponse.lastValidatedBy",
            "items[].followUpQuestions",
            "transactions[].bankAccountDetails",
            "comments",
            "customerDetails",
        ),
        order=("orderDetails.order_name", "rmaSummary.order_name"),
    ),
    # The label and the customer's own words stay outside already (sources/rebound/layout.py).
    ("rebound", "return"): PersonalRule(
        paths=("name", "city", "state", "suburb", "neighborhood", "final_dest_name"),
        words=("addr", "zip", "postcode", "email", "phone", "company", "customer", "contact", "shopper"),
        order=("order_reference",),
    ),
    ("peoplevox", "despatch"): _WAREHOUSE,
    ("peoplevox", "return"): _WAREHOUSE,
    ("peoplevox", "sales_order"): _WAREHOUSE,
    ("peoplevox", "purchase_order"): _WAREHOUSE,
}


def split(item: JsonObject, rule: PersonalRule) -> tuple[JsonObject, JsonObject]:
    """Return the object without its personal fields, and those fields by dotted path; the object itself is not changed.

    A field that is absent or null is in neither, and so is what a rule drops; what a rule keeps stays where it was.
    """
    body = dict(item)
    personal: JsonObject = {}
    for path in rule.dropped:
        body = _without(body, path.split("."))
    for path in rule.paths:
        value = _take(body, path.split("."))
        if value is not None:
            personal[path] = value
    if rule.words:
        for name in [name for name in body if any(word in name.casefold() for word in rule.words)]:
            value = body.pop(name)
            if value not in (None, ""):
                personal[name] = value
    for path in rule.kept:
        value = _read(item, path.split("."))
        if value is not None:
            _put(body, path.split("."), value)
    return body, personal


def order_of(item: JsonObject, rule: PersonalRule) -> str:
    """Return the id of the order that an object is of; empty where it names none."""
    named = (_read(item, path.split(".")) for path in rule.order)
    return next((str(value) for value in named if value not in (None, "")), "")


def _take(body: JsonObject, names: list[str]) -> object:
    """Remove and return what is at the path; dicts on the way are copied, for they belong to the caller."""
    for name in names[:-1]:
        below = body.get(name)
        if not isinstance(below, dict):
            return None
        below = dict(below)
        body[name] = below
        body = below
    return body.pop(names[-1], None)


def _without(body: Any, names: list[str]) -> Any:
    """Return a copy without what is at the path; lists on the way are gone through where the name ends in ``[]``."""
    if not isinstance(body, dict):
        return body
    name, is_list = names[0].removesuffix("[]"), names[0].endswith("[]")
    if name not in body:
        return body
    if len(names) == 1:
        return {key: value for key, value in body.items() if key != name}
    below = body[name]
    if is_list and isinstance(below, list):
        return {**body, name: [_without(part, names[1:]) for part in below]}
    return {**body, name: _without(below, names[1:])}


def _read(body: object, names: list[str]) -> object:
    for name in names:
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body


def _put(body: JsonObject, names: list[str], value: object) -> None:
    for name in names[:-1]:
        body = body.setdefault(name, {})
    body[names[-1]] = value
