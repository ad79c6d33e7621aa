"""What the objects of the sources look like, as far as they are read, and which core tables each kind feeds.

Here lives one declaration per kind of object: its id, its nested parts, when it changed last. What must not: a meaning
of a field beyond its place (that is in ``typing/*.sql``). The invariant: an object whose parts are not where its
declaration says is never typed in part; it goes to quarantine whole.

Shapes are written as DuckDB's ``from_json`` takes them; every leaf is text, so that no amount passes through a float.
Sources: Mirakl's OpenAPI (OR11, RT11, ST11, OF21, TL02, SBC11, IV01, RE01, SH21, PC01, A01), the fields of the returns
platforms and of Peoplevox as their clients yield them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from marketplace_returns.lake import tables
from marketplace_returns.lake.tables import Table

Shape = dict[str, Any]

LISTED = "is_listed"
"""The column of a table that is read as a whole list: whether the last one still had the row (``lake/listing.py``)."""


@dataclass(frozen=True)
class ObjectKind:
    """One kind of object of one source.

    Attributes:
        ids: the (dotted) fields that make the object's id, joined by ``/``.
        shape: the fields that are read.
        needed: nested lists that an object must have.
        changed_field: the object's own field that says when it last changed; empty when the content does not say.
        tables: the core tables it feeds, the object's own table first.
        types_known: contents that are known are typed again too, for their rows say when they were read last.
        rows_from: by table name, the lists its rows come from; a table that is not named may have rows of any object.
    """

    source: str
    name: str
    ids: tuple[str, ...]
    shape: Shape
    tables: tuple[Table, ...]
    needed: tuple[str, ...] = ()
    changed_field: str = ""
    types_known: bool = False
    rows_from: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The name of the stream that brings the objects, such as ``mirakl/order``."""
        return f"{self.source}/{self.name}"

    @cached_property
    def shape_json(self) -> str:
        """The shape as DuckDB's ``from_json`` takes it."""
        return msgspec.json.encode(self.shape).decode()

    @property
    def keeps_json(self) -> bool:
        """Whether a part of the object is kept as JSON."""
        return '"JSON"' in self.shape_json

    @cached_property
    def _nested(self) -> tuple[_Part, ...]:
        return _parts(self.shape, "")

    def id_of(self, item: Mapping[str, Any]) -> str:
        """Return the object's id as text; empty when a part of it is missing or names nothing.

        A name is a text without a NUL (by which no database can look) or a whole number.
        """
        parts = [_at(item, name) for name in self.ids]
        is_named = all(isinstance(part, str | int) and not isinstance(part, bool) and part != "" for part in parts)
        found = "/".join(map(str, parts)) if is_named else ""
        return "" if "\0" in found else found

    def fault_of(self, item: object, filled: set[str]) -> str:
        """Return what keeps the object from being typed, in words; empty when nothing does.

        Adds the paths of the lists that hold something, such as ``order_lines[].refunds``, to ``filled``.
        """
        if not isinstance(item, dict):
            return "it is not an object"
        if not self.id_of(item):
            return f"{' or '.join(self.ids)} is missing or no name"
        for name in self.needed:
            if not isinstance(item.get(name), list):
                return f"{name} is missing or not a list"
        return _misplaced(self._nested, item, filled)

    def only_read(self, item: object) -> Any:
        """Return an object with only the fields of its shape; what is not of the shape's form is left empty, and so a fault."""
        return _only_read(self.shape, item)

    def has_rows(self, table: Table, filled: set[str]) -> bool:
        """Whether objects whose lists at ``filled`` hold something can have rows for one of the kind's tables."""
        lists = self.rows_from.get(table.name)
        return lists is None or not filled.isdisjoint(lists)


@dataclass(frozen=True)
class _Part:
    """One nested part of a shape: an object, or a list of objects or of leaves."""

    name: str
    path: str
    is_list: bool
    holds_objects: bool
    below: tuple[_Part, ...]


def _at(item: Mapping[str, Any], path: str) -> object:
    """Return what is at a dotted path; None where there is nothing."""
    found: object = item
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _parts(shape: Shape, path: str) -> tuple[_Part, ...]:
    """Return the nested parts of a shape, for its leaves need no look."""
    parts = []
    for name, below in shape.items():
        if isinstance(below, str):
            continue
        is_list = isinstance(below, list)
        inner = below[0] if is_list else below
        holds_objects = isinstance(inner, dict)
        deeper = _parts(inner, f"{path}{name}{'[]' if is_list else ''}.") if holds_objects else ()
        parts.append(_Part(name, path + name, is_list, holds_objects, deeper))
    return tuple(parts)


def _misplaced(parts: tuple[_Part, ...], item: Mapping[str, Any], filled: set[str]) -> str:
    """Return the first nested part that is not of its declared form, in words; null and absent are alike."""
    for part in parts:
        value = item.get(part.name)
        if value is None:
            continue
        if not isinstance(value, list if part.is_list else dict):
            return f"{part.path} is not {'a list' if part.is_list else 'an object'}"
        if not value:
            continue
        if part.is_list:
            filled.add(part.path)
        if not part.holds_objects:
            continue
        for one in value if part.is_list else (value,):
            if not isinstance(one, dict):
                return f"{part.path} holds something that is not an object"
            if part.below:
                fault = _misplaced(part.below, one, filled)
                if fault:
                    return fault
    return ""


def _only_read(shape: object, value: object) -> Any:
    if isinstance(shape, dict):
        if isinstance(value, dict):
            return {name: _only_read(shape[name], below) for name, below in value.items() if name in shape}
        return [] if isinstance(value, list) else _no_more(value)
    if isinstance(shape, list):
        if isinstance(value, list):
            return [_only_read(shape[0], each) for each in value]
        return {} if isinstance(value, dict) else _no_more(value)
    return value


def _no_more(value: object) -> object:
    """Return a value that stands where a part should be, without what it says."""
    return None if value is None else ""


def _fields(names: str, **nested: object) -> Shape:
    return dict.fromkeys(names.split(), "VARCHAR") | nested


_AMOUNTS = [_fields("code amount")]
_TAXES = [_fields("code amount rate tax_calculation_rule")]
_REFUND = _fields(
    "id order_refund_id refund_state state reason_code quantity amount shipping_amount commission_amount created_date "
    "transaction_date transaction_number",
    taxes=_AMOUNTS,
    shipping_taxes=_AMOUNTS,
    commission_taxes=_AMOUNTS,
)
_CANCELATION = _fields(
    "id quantity reason_code amount shipping_amount created_date", taxes=_AMOUNTS, shipping_taxes=_AMOUNTS
)
_ORDER_LINE = _fields(
    "order_line_id order_line_index order_line_state order_line_state_reason_code offer_sku offer_id product_sku "
    "category_code quantity price_unit price shipping_price total_price commission_fee commission_vat can_refund "
    "created_date last_updated_date debited_date shipped_date received_date",
    taxes=_TAXES,
    shipping_taxes=_TAXES,
    commission_taxes=_AMOUNTS,
    refunds=[_REFUND],
    cancelations=[_CANCELATION],
)

MIRAKL_ORDER = ObjectKind(
    "mirakl",
    "order",
    ("order_id",),
    _fields(
        "order_id commercial_id order_state order_tax_mode currency_iso_code price shipping_price total_price "
        "total_commission created_date last_updated_date acceptance_decision_date customer_debited_date "
        "shipping_deadline has_incident can_cancel fully_refunded payment_workflow shipping_type_code "
        "shipping_carrier_code shipping_company shipping_tracking",
        channel=_fields("code"),
        references=_fields("order_reference_for_seller"),
        customer={"shipping_address": _fields("country_iso_code")},
        order_lines=[_ORDER_LINE],
    ),
    (
        tables.MIRAKL_ORDERS,
        tables.MIRAKL_ORDER_LINES,
        tables.MIRAKL_ORDER_LINE_TAXES,
        tables.MIRAKL_REFUNDS,
        tables.MIRAKL_REFUND_TAXES,
        tables.MIRAKL_CANCELATIONS,
    ),
    needed=("order_lines",),
    changed_field="last_updated_date",
    rows_from={
        tables.MIRAKL_ORDER_LINES.name: ("order_lines",),
        tables.MIRAKL_ORDER_LINE_TAXES.name: ("order_lines[].taxes", "order_lines[].shipping_taxes"),
        tables.MIRAKL_REFUNDS.name: ("order_lines[].refunds",),
        tables.MIRAKL_REFUND_TAXES.name: ("order_lines[].refunds[].taxes", "order_lines[].refunds[].shipping_taxes"),
        tables.MIRAKL_CANCELATIONS.name: ("order_lines[].cancelations",),
    },
)
MIRAKL_RETURN = ObjectKind(
    "mirakl",
    "return",
    ("id",),
    _fields(
        "id order_id order_commercial_id state rma method_code reason_code rejection_reason_code label_url date_created "
        "last_updated",
        tracking=_fields("tracking_number carrier_name"),
        return_lines=[_fields("order_line_id quantity reason_code compliance")],
    ),
    (tables.MIRAKL_RETURNS, tables.MIRAKL_RETURN_LINES),
    needed=("return_lines",),
    changed_field="last_updated",
    rows_from={tables.MIRAKL_RETURN_LINES.name: ("return_lines",)},
)
MIRAKL_SHIPMENT = ObjectKind(
    "mirakl",
    "shipment",
    ("id",),
    _fields(
        "id order_id status created_date last_updated_date shipped_date",
        tracking=_fields("carrier_code carrier_name tracking_number"),
        shipment_lines=[_fields("order_line_id quantity package_reference")],
    ),
    (tables.MIRAKL_SHIPMENTS, tables.MIRAKL_SHIPMENT_LINES),
    changed_field="last_updated_date",
    rows_from={tables.MIRAKL_SHIPMENT_LINES.name: ("shipment_lines",)},
)
MIRAKL_OFFER = ObjectKind(
    "mirakl",
    "offer",
    ("shop_sku",),
    _fields(
        "shop_sku offer_id product_sku product_title category_code quantity active inactivity_reasons "
        "currency_iso_code price"
    ),
    (tables.MIRAKL_OFFERS,),
)
MIRAKL_TRANSACTION = ObjectKind(
    "mirakl",
    "transaction",
    ("id",),
    _fields(
        "id type payment_state currency_iso_code amount seller_billing_cycle_id accounting_document_id "
        "accounting_document_number date_created last_updated",
        entities={
            name: _fields("id" if name in {"order", "order_line", "refund"} else "code")
            for name in ("order", "order_line", "refund", "order_tax", "shop_tax")
        },
    ),
    (tables.MIRAKL_TRANSACTIONS,),
    changed_field="last_updated",
)
MIRAKL_BILLING_CYCLE = ObjectKind(
    "mirakl",
    "billing_cycle",
    ("id",),
    _fields(
        "id date_created currency_iso_code amount_transferred_to_seller amount_transferred_to_operator "
        "payment_voucher_number",
        summary="MAP(VARCHAR, VARCHAR)",
        pay_out=_fields("state reference transaction_date failure_reason"),
    ),
    (tables.MIRAKL_BILLING_CYCLES, tables.MIRAKL_BILLING_CYCLE_TOTALS),
)
MIRAKL_INVOICE = ObjectKind(
    "mirakl",
    "invoice",
    ("id",),
    _fields(
        "id invoice_id type state seller_billing_cycle_id currency_iso_code total_amount_excl_taxes "
        "total_amount_incl_taxes date_created issue_date",
        summary=_fields("amount_transferred"),
        payment=_fields("state reference"),
    ),
    (tables.MIRAKL_INVOICES,),
)
MIRAKL_REASON = ObjectKind(
    "mirakl",
    "reason",
    ("type", "code"),
    _fields("type code label is_shop_right"),
    (tables.MIRAKL_REASONS,),
)
MIRAKL_CARRIER = ObjectKind(
    "mirakl",
    "carrier",
    ("code",),
    _fields("code label standard_code tracking_url"),
    (tables.MIRAKL_CARRIERS,),
)
MIRAKL_PLATFORM = ObjectKind(
    "mirakl", "platform", ("name",), _fields("name", settings="JSON"), (tables.MIRAKL_PLATFORM,)
)
REVENI_RETURN = ObjectKind(
    "reveni",
    "return",
    ("id",),
    _fields(
        "id external_id status type is_instant created_at updated_at shipped_at received_at resolved_at currency "
        "total_amount refund_amount restock_choice",
        order=_fields("external_id name"),
        delivery=_fields("carrier tracking_number label_url"),
        return_items=[
            _fields("id external_id sku received_sku quantity unit_price tax_amount return_reason status reject_reason")
        ],
        refunds=[_fields("id amount currency method status executed_at is_advance")],
    ),
    (tables.REVENI_RETURNS, tables.REVENI_RETURN_ITEMS, tables.REVENI_REFUNDS),
    needed=("return_items",),
    changed_field="updated_at",
    rows_from={
        tables.REVENI_RETURN_ITEMS.name: ("return_items",),
        tables.REVENI_REFUNDS.name: ("refunds",),
    },
)
_PAID = _fields("amount currency")
RETURNGO_RETURN = ObjectKind(
    "returngo",
    "return",
    ("rmaSummary.rmaId",),
    _fields(
        "externalId isOutOfPolicy createdAt lastUpdated",
        rmaSummary=_fields("rmaId status order_name"),
        orderDetails=_fields("orderId order_name"),
        shipments=[_fields("shipmentId status carrierName trackingNumber labelURL isOutbound")],
        items=[
            _fields(
                "returnedItemId externalId sku returnReason extendedReason resolutionType restockingFee returnFee shipmentFee",
                paidPrice=_PAID,
                paidTax=_PAID,
                itemValidationStatusResponse=_fields(
                    "isRestockable isReturned nonRestockableReason nonReturnedReason lastValidationDate"
                ),
            )
        ],
        transactions=[
            _fields(
                "id type externalReferenceId externalReferenceType status processor createdAt lastUpdated",
                amount=_PAID,
                returnItemIds=["VARCHAR"],
            )
        ],
    ),
    (tables.RETURNGO_RMAS, tables.RETURNGO_RMA_ITEMS, tables.RETURNGO_TRANSACTIONS, tables.RETURNGO_SIGHTINGS),
    needed=("items",),
    changed_field="lastUpdated",
    types_known=True,
    rows_from={
        tables.RETURNGO_RMA_ITEMS.name: ("items",),
        tables.RETURNGO_TRANSACTIONS.name: ("transactions",),
    },
)

REBOUND_RETURN = ObjectKind(
    "rebound",
    "return",
    ("id",),
    _fields(
        "id external_id order_reference date_added updated_at tracking_last_update status carrier tracking label_url "
        "verification_entity",
        item=[
            _fields(
                "item_id line_key sku_code received_sku quantity quantity_received final_disposition disposition_at "
                "verification_entity",
                reason=[_fields("reason wish")],
            )
        ],
        track=[_fields("dt status country")],
    ),
    (tables.REBOUND_RETURNS, tables.REBOUND_RETURN_ITEMS, tables.REBOUND_TRACKING_EVENTS),
    needed=("item", "track"),
    rows_from={
        tables.REBOUND_RETURN_ITEMS.name: ("item",),
        tables.REBOUND_TRACKING_EVENTS.name: ("track",),
    },
)


def _warehouse(name: str, ids: tuple[str, ...], table: Table, items: Table | None = None) -> ObjectKind:
    """Declare a Peoplevox kind: its client yields rows whose fields are named as the table's columns.

    The lines of an order are its ``items``, where the client read them along.
    """
    if items is None:
        return ObjectKind("peoplevox", name, ids, _own_fields(table, ()), (table,))
    shape = _own_fields(table, ()) | {"items": [_own_fields(items, ids)]}
    return ObjectKind("peoplevox", name, ids, shape, (table, items), rows_from={items.name: ("items",)})


def _own_fields(table: Table, above: tuple[str, ...]) -> Shape:
    not_said = {tables.SHOP.name, *(column.name for column in tables.LINEAGE), LISTED, *above}
    return _fields(" ".join(column.name for column in table.columns if column.name not in not_said))


_ROW = ("item_code", "row_no")
PEOPLEVOX_DESPATCH = _warehouse("despatch", ("despatch_number", *_ROW), tables.PEOPLEVOX_DESPATCHES)
PEOPLEVOX_RETURN = _warehouse("return", ("return_code", *_ROW), tables.PEOPLEVOX_RETURNS)
PEOPLEVOX_GOODS_IN = _warehouse("goods_in", ("goods_in_reference", *_ROW), tables.PEOPLEVOX_GOODS_IN)
PEOPLEVOX_STOCK = _warehouse("stock", ("item_code", "site"), tables.PEOPLEVOX_STOCK)
PEOPLEVOX_SALES_ORDER = _warehouse(
    "sales_order", ("sales_order_number",), tables.PEOPLEVOX_SALES_ORDERS, tables.PEOPLEVOX_SALES_ORDER_ITEMS
)
PEOPLEVOX_PURCHASE_ORDER = _warehouse(
    "purchase_order",
    ("purchase_order_number",),
    tables.PEOPLEVOX_PURCHASE_ORDERS,
    tables.PEOPLEVOX_PURCHASE_ORDER_ITEMS,
)
PEOPLEVOX_ITEM_TYPE = _warehouse("item_type", ("item_code",), tables.PEOPLEVOX_ITEM_TYPES)

OBJECT_KINDS: tuple[ObjectKind, ...] = (
    MIRAKL_ORDER,
    MIRAKL_RETURN,
    MIRAKL_SHIPMENT,
    MIRAKL_OFFER,
    MIRAKL_TRANSACTION,
    MIRAKL_BILLING_CYCLE,
    MIRAKL_INVOICE,
    MIRAKL_REASON,
    MIRAKL_CARRIER,
    MIRAKL_PLATFORM,
    REVENI_RETURN,
    RETURNGO_RETURN,
    REBOUND_RETURN,
    PEOPLEVOX_DESPATCH,
    PEOPLEVOX_RETURN,
    PEOPLEVOX_GOODS_IN,
    PEOPLEVOX_STOCK,
    PEOPLEVOX_SALES_ORDER,
    PEOPLEVOX_PURCHASE_ORDER,
    PEOPLEVOX_ITEM_TYPE,
)
