"""Every typed table of the lake, declared once.

The declarations feed the lake's DDL, the pandera checks, Dagster's column schemas, the pack's manifest and the docs.
What lives here: names, kinds, keys and meanings. What must not: SQL or code that fills a table. The invariant: a column
is described in exactly one place, and every table's key is unique over its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a column holds; it decides the lake type and the check."""

    TEXT = "text"
    INTEGER = "integer"
    MONEY = "money"  # integer minor units of the row's ``currency``
    DECIMAL = "decimal"  # rates and unit prices, never summed
    BOOLEAN = "boolean"
    INSTANT = "instant"  # UTC
    DATE = "date"  # a day in the shop's time zone
    JSON = "json"  # kept as text

    @property
    def lake_type(self) -> str:
        """The DuckDB type of the column."""
        return _LAKE_TYPES[self]


_LAKE_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.INTEGER: "BIGINT",
    Kind.MONEY: "BIGINT",
    Kind.DECIMAL: "DECIMAL(38, 10)",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.INSTANT: "TIMESTAMPTZ",
    Kind.DATE: "DATE",
    Kind.JSON: "VARCHAR",
}


_SORTED_BY = (
    "purchase_order_number",
    "reference",
    "order_id",
    "sales_order_number",
    "platform_return_id",
    "order_line_id",
    "return_unit_id",
)


@dataclass(frozen=True)
class Column:
    """One column: its name, kind, meaning and whether a row must have it.

    ``is_spare`` says that what cannot be read is left empty and no reason against the row: it is told in full elsewhere.
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    is_spare: bool = False


@dataclass(frozen=True)
class Table:
    """One table: where it is, what a row is, its key, and its columns in order.

    ``version`` names the column that says which of two rows of one key is newer (an older page never overwrites a
    newer row); without one the last fetched wins.
    """

    schema: str
    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    version: str = "fetched_at"

    @property
    def path(self) -> str:
        """The name to query it by: ``lake.<schema>.<name>``."""
        return f"lake.{self.schema}.{self.name}"

    @property
    def sorted_by(self) -> str:
        """The column that its files are sorted by, so that one order's rows are found without reading the others; empty: none."""
        names = {column.name for column in self.columns} if self.schema == "core" else set()
        return next((name for name in _SORTED_BY if name in names), "")

    def column(self, name: str) -> Column:
        """Return the column of that name; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.path} has no column {name}")


def text(name: str, meaning: str, *, required: bool = False) -> Column:
    """Declare a text column."""
    return Column(name, Kind.TEXT, meaning, required)


def integer(name: str, meaning: str, *, required: bool = False) -> Column:
    """Declare an integer column."""
    return Column(name, Kind.INTEGER, meaning, required)


def money(name: str, meaning: str, *, required: bool = False) -> Column:
    """Declare an amount in minor units; the table has a ``currency`` column beside it."""
    return Column(name, Kind.MONEY, meaning, required)


def spare_money(name: str, meaning: str) -> Column:
    """Declare an amount that is added up from others of the row's object, for speed."""
    return Column(name, Kind.MONEY, meaning, is_spare=True)


def decimal(name: str, meaning: str, *, required: bool = False) -> Column:
    """Declare a rate or unit price (never summed)."""
    return Column(name, Kind.DECIMAL, meaning, required)


def boolean(name: str, meaning: str, *, required: bool = False) -> Column:
    """Declare a boolean column."""
    return Column(name, Kind.BOOLEAN, meaning, required)


def instant(name: str, meaning: str, *, required: bool = False) -> Column:
    """Declare a UTC instant."""
    return Column(name, Kind.INSTANT, meaning, required)


def json_text(name: str, meaning: str, *, required: bool = False) -> Column:
    """Declare a column of JSON kept as text."""
    return Column(name, Kind.JSON, meaning, required)


SHOP = text("shop", "Shop name as in the settings", required=True)
CURRENCY = text("currency", "ISO 4217 code of every amount on the row", required=True)
LINEAGE = (
    text("payload_hash", "Content hash of the landed payload the row was typed from", required=True),
    instant("fetched_at", "When that payload was fetched", required=True),
    text("run_id", "Run that wrote the row", required=True),
)


def core(name: str, meaning: str, key: tuple[str, ...], *columns: Column, version: str = "fetched_at") -> Table:
    """Declare a typed source table: shop first, lineage last, unique by (shop, key)."""
    return Table("core", name, meaning, ("shop", *key), (SHOP, *columns, *LINEAGE), version)


MIRAKL_ORDERS = core(
    "mirakl__orders",
    "One row per logistic order of the marketplace (OR11)",
    ("order_id",),
    text("order_id", "Logistic order id", required=True),
    text("commercial_id", "Commercial order id (one customer basket)", required=True),
    text("order_state", "Order state as Mirakl gives it; unknown values are kept", required=True),
    text("order_tax_mode", "TAX_INCLUDED or TAX_EXCLUDED", required=True),
    CURRENCY,
    money("price_minor", "Sum of line prices, without shipping", required=True),
    money("shipping_price_minor", "Sum of line shipping prices", required=True),
    money("total_price_minor", "Price plus shipping", required=True),
    money("total_commission_minor", "Commission with its VAT, gross of refunds"),
    instant("created_at", "When the customer ordered", required=True),
    instant("updated_at", "last_updated_date", required=True),
    instant("acceptance_decided_at", "When acceptance was decided"),
    instant("customer_debited_at", "When the customer was debited"),
    instant("shipping_deadline_at", "Latest despatch"),
    boolean("has_incident", "An incident is open on a line"),
    boolean("can_cancel", "Mirakl allows OR29/OR30 now"),
    boolean("fully_refunded", "Refunds requested add up to all active lines"),
    boolean("has_shipping_address", "The shipping address is visible (never before SHIPPING by default)"),
    text("payment_workflow", "PAY_ON_ACCEPTANCE and others"),
    text("shipping_type_code", "Shipping type"),
    text("shipping_carrier_code", "Carrier confirmed to Mirakl"),
    text("shipping_company", "Carrier name confirmed to Mirakl"),
    text("shipping_tracking", "Tracking number confirmed to Mirakl"),
    text("channel_code", "Sales channel"),
    text("seller_reference", "Our own number of the order, where it was given to the marketplace"),
    version="updated_at",
)

MIRAKL_ORDER_LINES = core(
    "mirakl__order_lines",
    "One row per order line (OR11)",
    ("order_line_id",),
    text("order_line_id", "Order line id, the spine of all matching", required=True),
    text("order_id", "Logistic order id", required=True),
    integer("line_index", "Position on the order"),
    text("line_state", "Line state; adds INCIDENT_OPEN and REFUNDED to the order states", required=True),
    text("line_state_reason_code", "Reason of the state, such as the incident's"),
    text("offer_sku", "Seller's SKU of the offer", required=True),
    integer("offer_id", "Offer id"),
    text("product_sku", "Marketplace's product id"),
    text("category_code", "Category, for the commission rate"),
    integer("quantity", "Units on the line after cancelations", required=True),
    CURRENCY,
    decimal("unit_price", "Unit price, may be finer than the minor unit; never summed"),
    money("price_minor", "Unit price x quantity, without shipping", required=True),
    money("shipping_price_minor", "Shipping of the line", required=True),
    money("total_price_minor", "Price plus shipping of the line", required=True),
    money("commission_fee_minor", "Commission, net", required=True),
    money("commission_vat_minor", "VAT on the commission", required=True),
    spare_money("product_tax_minor", "Taxes of the product together; empty: see mirakl__order_line_taxes"),
    spare_money("shipping_tax_minor", "Taxes of shipping together; empty: see mirakl__order_line_taxes"),
    boolean("can_refund", "Mirakl allows a refund of the full line"),
    instant("created_at", "Created", required=True),
    instant("updated_at", "Last update", required=True),
    instant("debited_at", "Customer debited"),
    instant("shipped_at", "Shipped as confirmed to Mirakl"),
    instant("received_at", "Received by the customer"),
    version="updated_at",
)

MIRAKL_ORDER_LINE_TAXES = core(
    "mirakl__order_line_taxes",
    "One row per tax of an order line (OR11 taxes and shipping_taxes)",
    ("order_line_id", "tax_kind", "tax_code"),
    text("order_line_id", "Order line id", required=True),
    text("order_id", "Logistic order id", required=True),
    text("tax_kind", "product or shipping", required=True),
    text("tax_code", "Tax code", required=True),
    CURRENCY,
    money("amount_minor", "Tax of the whole line", required=True),
    decimal("rate", "Rate as given (percent or fraction: units differ by tenant)"),
    text("calculation_rule", "PROPORTIONAL_TO_AMOUNT or NONE", required=True),
    instant("updated_at", "Last update of the line", required=True),
    version="updated_at",
)

MIRAKL_REFUNDS = core(
    "mirakl__refunds",
    "One row per refund of an order line (OR11 refunds[]), whoever made it",
    ("refund_id",),
    text("refund_id", "Refund id", required=True),
    text("order_refund_id", "Shared by refunds made together"),
    text("order_id", "Logistic order id", required=True),
    text("order_line_id", "Order line id", required=True),
    text("refund_state", "WAITING_REFUND, WAITING_REFUND_PAYMENT, REFUNDED...", required=True),
    text("reason_code", "Refund reason (RE01 type REFUND)"),
    integer("quantity", "Informative only"),
    CURRENCY,
    money("amount_minor", "Product part in the order's tax mode", required=True),
    money("shipping_amount_minor", "Shipping part in the order's tax mode", required=True),
    money("tax_minor", "Sum of product taxes", required=True),
    money("shipping_tax_minor", "Sum of shipping taxes", required=True),
    money("commission_minor", "Commission given back, net"),
    money("commission_vat_minor", "VAT on it"),
    instant("created_at", "When the refund was requested", required=True),
    instant("paid_at", "When the customer was paid (transaction_date)"),
    text("transaction_number", "Payment reference"),
    instant("updated_at", "Last update of the line", required=True),
    version="updated_at",
)

MIRAKL_REFUND_TAXES = core(
    "mirakl__refund_taxes",
    "One row per tax of a refund",
    ("refund_id", "tax_kind", "tax_code"),
    text("refund_id", "Refund id", required=True),
    text("order_line_id", "Order line id", required=True),
    text("tax_kind", "product or shipping", required=True),
    text("tax_code", "Tax code", required=True),
    CURRENCY,
    money("amount_minor", "Tax refunded", required=True),
    instant("updated_at", "Last update of the line", required=True),
    version="updated_at",
)

MIRAKL_CANCELATIONS = core(
    "mirakl__cancelations",
    "One row per cancelation of (part of) an order line (OR11 cancelations[])",
    ("cancelation_id",),
    text("cancelation_id", "Cancelation id", required=True),
    text("order_id", "Logistic order id", required=True),
    text("order_line_id", "Order line id", required=True),
    integer("quantity", "Units cancelled"),
    text("reason_code", "Reason"),
    CURRENCY,
    money("amount_minor", "Product part", required=True),
    money("shipping_amount_minor", "Shipping part", required=True),
    money("tax_minor", "Sum of product and shipping taxes", required=True),
    instant("created_at", "When", required=True),
    instant("updated_at", "Last update of the line", required=True),
    version="updated_at",
)

MIRAKL_RETURNS = core(
    "mirakl__returns",
    "One row per return of the marketplace (RT11)",
    ("return_id",),
    text("return_id", "Return id", required=True),
    text("order_id", "Logistic order id", required=True),
    text("order_commercial_id", "Commercial order id"),
    text("return_state", "WAITING_ACCEPTANCE, IN_PROGRESS, RECEIVED, CLOSED...", required=True),
    text("rma", "Our key on the return: the returns platform's return id (RT04)"),
    text("method_code", "Return method"),
    text("reason_code", "Return-level reason"),
    text("rejection_reason_code", "Why refused"),
    text("label_url", "Label shown to the customer"),
    text("tracking_number", "Parcel's tracking number"),
    text("carrier_name", "Parcel's carrier"),
    instant("created_at", "When the customer opened it", required=True),
    instant("updated_at", "last_updated", required=True),
    version="updated_at",
)

MIRAKL_RETURN_LINES = core(
    "mirakl__return_lines",
    "One row per order line of a return (RT11 return_lines[])",
    ("return_id", "order_line_id"),
    text("return_id", "Return id", required=True),
    text("order_id", "Logistic order id", required=True),
    text("order_line_id", "Order line id", required=True),
    integer("quantity", "Units announced", required=True),
    text("reason_code", "RETURN_... reason of the line"),
    json_text("compliance", "Compliance as reported by RT26, null until then"),
    instant("updated_at", "last_updated of the return", required=True),
    version="updated_at",
)

MIRAKL_SHIPMENTS = core(
    "mirakl__shipments",
    "One row per shipment where multi-shipment is on (ST11)",
    ("shipment_id",),
    text("shipment_id", "Shipment id", required=True),
    text("order_id", "Logistic order id", required=True),
    text("shipment_state", "Shipment state", required=True),
    text("carrier_code", "Carrier"),
    text("carrier_name", "Carrier name"),
    text("tracking_number", "Tracking number"),
    instant("created_at", "Created", required=True),
    instant("updated_at", "Last update", required=True),
    instant("shipped_at", "Shipped"),
    version="updated_at",
)

MIRAKL_SHIPMENT_LINES = core(
    "mirakl__shipment_lines",
    "One row per order line of a shipment (ST11)",
    ("shipment_id", "order_line_id"),
    text("shipment_id", "Shipment id", required=True),
    text("order_id", "Logistic order id", required=True),
    text("order_line_id", "Order line id", required=True),
    integer("quantity", "Units", required=True),
    text("package_reference", "Parcel reference: our despatch number"),
    instant("updated_at", "Last update of the shipment", required=True),
    version="updated_at",
)

MIRAKL_OFFERS = core(
    "mirakl__offers",
    "One row per offer of the shop (OF21)",
    ("offer_sku",),
    text("offer_sku", "Seller's SKU", required=True),
    integer("offer_id", "Offer id"),
    text("product_sku", "Marketplace's product id"),
    text("product_title", "Title"),
    text("category_code", "Category"),
    integer("quantity", "Units on sale", required=True),
    boolean("is_active", "Buyable now"),
    json_text("inactivity_reasons", "Why not, as a JSON list"),
    CURRENCY,
    money("price_minor", "Price"),
)

MIRAKL_TRANSACTIONS = core(
    "mirakl__transactions",
    "One row per line of the transaction log (TL02): the money as Mirakl books it",
    ("transaction_id",),
    text("transaction_id", "Line id", required=True),
    text("transaction_type", "One of the 51 types; unknown ones are kept", required=True),
    text("payment_state", "PENDING, PAYABLE, PAID, RESERVE, NOT_APPLICABLE", required=True),
    CURRENCY,
    money("amount_minor", "Signed: + increases what the marketplace owes the seller", required=True),
    text("order_id", "Logistic order id"),
    text("order_line_id", "Order line id"),
    text("refund_id", "Refund id"),
    text("tax_code", "Tax code of the line, where it is one"),
    text("billing_cycle_id", "Payout cycle, once in one"),
    text("accounting_document_id", "Accounting document"),
    text("accounting_document_number", "Its number"),
    instant("created_at", "date_created", required=True),
    instant("updated_at", "last_updated", required=True),
    version="updated_at",
)

MIRAKL_BILLING_CYCLES = core(
    "mirakl__billing_cycles",
    "One row per payout cycle (SBC11)",
    ("billing_cycle_id",),
    text("billing_cycle_id", "Cycle id", required=True),
    instant("created_at", "date_created", required=True),
    CURRENCY,
    money("amount_to_seller_minor", "amount_transferred_to_seller", required=True),
    money("amount_to_operator_minor", "amount_transferred_to_operator"),
    text("pay_out_state", "TO_PAY, PAID or FAILED", required=True),
    text("pay_out_reference", "Bank reference"),
    instant("pay_out_at", "Bank date"),
    text("failure_reason", "Why a payout failed"),
    text("payment_voucher_number", "Voucher"),
)

MIRAKL_BILLING_CYCLE_TOTALS = core(
    "mirakl__billing_cycle_totals",
    "One row per summary field of a payout cycle (the 40 totals of SBC11)",
    ("billing_cycle_id", "field"),
    text("billing_cycle_id", "Cycle id", required=True),
    text("field", "Field name, such as total_commissions_incl_tax", required=True),
    CURRENCY,
    money("amount_minor", "Amount; deductions are negative", required=True),
)

MIRAKL_INVOICES = core(
    "mirakl__invoices",
    "One row per accounting document of the marketplace to the seller (IV01)",
    ("document_id",),
    text("document_id", "id (UUID)", required=True),
    integer("invoice_id", "Number for IV02, once issued"),
    text("invoice_type", "AUTO_INVOICE, MANUAL_INVOICE, MANUAL_CREDIT", required=True),
    text("invoice_state", "State"),
    text("billing_cycle_id", "Cycle of an AUTO_INVOICE"),
    CURRENCY,
    money("amount_transferred_minor", "Payout stated on an AUTO_INVOICE"),
    money("total_excl_minor", "Total without taxes"),
    money("total_incl_minor", "Total with taxes"),
    text("payment_state", "PENDING, PAID, FAILED"),
    text("payment_reference", "Bank reference"),
    instant("created_at", "Created", required=True),
    instant("issued_at", "Issued"),
)

MIRAKL_REASONS = core(
    "mirakl__reasons",
    "One row per operator-defined reason (RE01)",
    ("reason_type", "code"),
    text("reason_type", "REFUND, RETURN, INCIDENT_CLOSE...", required=True),
    text("code", "Code", required=True),
    text("label", "Label"),
    boolean("is_shop_right", "Usable by the seller"),
)

MIRAKL_CARRIERS = core(
    "mirakl__carriers",
    "One row per registered carrier (SH21)",
    ("code",),
    text("code", "Carrier code", required=True),
    text("label", "Label"),
    text("standard_code", "Standard code"),
    text("tracking_url", "URL template with {trackingId}"),
)

MIRAKL_PLATFORM = core(
    "mirakl__platform",
    "One row per setting of the platform and the shop account (PC01, A01), flattened to dotted names",
    ("setting",),
    text("setting", "Dotted name, such as pc01.features.shipment.multi_shipment", required=True),
    text("value", "Value as text"),
)

REVENI_RETURNS = core(
    "reveni__returns",
    "One row per return in Reveni",
    ("platform_return_id",),
    text("platform_return_id", "Reveni's id", required=True),
    text("external_id", "Our key, where Reveni shows it: the marketplace return id"),
    text("order_id", "order.external_id = marketplace order id"),
    text("order_name", "Order name"),
    text("status", "Status, upper case; unknown values are kept", required=True),
    text("return_type", "REFUND, EXCHANGE, MIXED"),
    boolean("is_instant", "Refunded before the goods travelled"),
    CURRENCY,
    money("total_amount_minor", "Reveni's own total; never used for a refund (R3)"),
    money("refund_amount_minor", "Reveni's own refund figure; never used for a refund (R3)"),
    text("restock_choice", "restock, quarantine, dispose"),
    text("carrier", "Carrier"),
    text("tracking_number", "Tracking number"),
    text("label_url", "Label"),
    instant("created_at", "Created", required=True),
    instant("updated_at", "Updated", required=True),
    instant("shipped_at", "Shipped"),
    instant("received_at", "Received"),
    instant("resolved_at", "Resolved"),
    version="updated_at",
)

REVENI_RETURN_ITEMS = core(
    "reveni__return_items",
    "One row per item line of a Reveni return",
    ("platform_return_id", "item_id"),
    text("platform_return_id", "Reveni's return id", required=True),
    text("item_id", "Item line id", required=True),
    text("external_id", "Our key of the line, where Reveni shows it: the order line id"),
    text("sku", "SKU announced", required=True),
    text("received_sku", "SKU that came, where another"),
    integer("quantity", "Units", required=True),
    text("item_status", "PENDING, ACCEPTED, REJECTED", required=True),
    text("return_reason", "Reason"),
    text("reject_reason", "Reject reason"),
    CURRENCY,
    decimal("unit_price", "Reveni's unit price"),
    money("tax_amount_minor", "Reveni's tax"),
    instant("updated_at", "Updated", required=True),
    version="updated_at",
)

REVENI_REFUNDS = core(
    "reveni__refunds",
    "One row per refund object in Reveni: the third column of the three-way match",
    ("platform_refund_id",),
    text("platform_refund_id", "Reveni's refund id", required=True),
    text("platform_return_id", "Reveni's return id", required=True),
    CURRENCY,
    money("amount_minor", "Amount", required=True),
    text("method", "iban, original, store_credit"),
    text("status", "PENDING, EXECUTED, FAILED", required=True),
    boolean("is_advance", "Paid before the goods came"),
    instant("executed_at", "Executed"),
    instant("updated_at", "Updated", required=True),
    version="updated_at",
)

REBOUND_RETURNS = core(
    "rebound__returns",
    "One row per return in ReBound, of whichever generation",
    ("platform_return_id",),
    text("platform_return_id", "ReBound's id", required=True),
    text("external_id", "Our key: the marketplace return id"),
    text("order_id", "order_reference = marketplace order id", required=True),
    text("status", "Tracking status or milestone, as ReBound says it; unknown words are kept"),
    text("carrier", "Carrier"),
    text("tracking_number", "Tracking number of the first parcel"),
    text("label_url", "Label, where ReBound or the shop's own portal has an address for it"),
    text("verification_entity", "Who inspected: hub or warehouse"),
    instant("created_at", "Created", required=True),
    instant("updated_at", "Updated, or the last scan where ReBound tells no more (legacy_ir)"),
)

REBOUND_RETURN_ITEMS = core(
    "rebound__return_items",
    "One row per item of a ReBound return",
    ("platform_return_id", "item_id"),
    text("platform_return_id", "ReBound's return id", required=True),
    text("item_id", "Line id, or the item's place where ReBound has none (legacy_ir)", required=True),
    text("order_line_id", "Our key of the line: the order line id"),
    text("sku", "SKU announced", required=True),
    text("received_sku", "SKU that came, where another"),
    integer("quantity", "Units announced", required=True),
    integer("received_quantity", "Units that came, where ReBound tells (v2)"),
    text("reason", "Reason"),
    text("wish", "What the customer wants for it"),
    text("disposition", "What the inspection found, as ReBound says it; empty before"),
    text("verification_entity", "Who inspected: hub or warehouse"),
    instant("inspected_at", "When, where ReBound tells (v2)"),
)

REBOUND_TRACKING_EVENTS = core(
    "rebound__tracking_events",
    "One row per place a return's parcel was seen at: scans (legacy_ir), or milestones as they were read (v2)",
    ("platform_return_id", "status", "occurred_at"),
    text("platform_return_id", "ReBound's return id", required=True),
    text("status", "Tracking status or milestone, as ReBound says it", required=True),
    instant("occurred_at", "When", required=True),
    text("tracking_number", "Tracking number"),
    text("country", "Country of the scan"),
)

RETURNGO_RMAS = core(
    "returngo__rmas",
    "One row per return (RMA) in ReturnGO",
    ("platform_return_id",),
    text("platform_return_id", "ReturnGO's number, without the RMA before it", required=True),
    text("external_id", "Our key, where ReturnGO shows it: the marketplace return id"),
    text("order_name", "The order's shown name = marketplace order id, perhaps with a sign before it"),
    text("platform_order_id", "The order's id in the shop system behind ReturnGO, which transactions are filtered by"),
    text(
        "status",
        "Pending, Approved, Received, Validated, Done, Rejected or Canceled; unknown values are kept",
        required=True,
    ),
    boolean("is_out_of_policy", "Made outside the shop's policy"),
    text("carrier", "Carrier of the parcel that comes back"),
    text("tracking_number", "Its tracking number"),
    text("label_url", "Its label"),
    instant("created_at", "Created", required=True),
    instant("updated_at", "lastUpdated: does not move when only a shipment changed", required=True),
    instant(
        "read_at",
        "When it was read last; what is not at rest is read again, the one read longest ago first",
        required=True,
    ),
    version="updated_at",
)

RETURNGO_RMA_ITEMS = core(
    "returngo__rma_items",
    "One row per returned unit of an RMA",
    ("platform_return_id", "item_id"),
    text("platform_return_id", "ReturnGO's number of the RMA", required=True),
    text("item_id", "returnedItemId", required=True),
    text("external_id", "Our key of the line, where ReturnGO shows it: the order line id"),
    text("sku", "SKU announced", required=True),
    text("return_reason", "Reason, in the shop's own words"),
    text("extended_reason", "What the customer chose below it"),
    text("resolution_type", "RefundToPaymentMethod and others"),
    text("currency", "ISO 4217 code of the amounts, as the shopper paid"),
    decimal("paid_price", "What ReturnGO says was paid for the unit; never used for a refund (R3)"),
    decimal("paid_tax", "The tax in it or on it"),
    decimal("restocking_fee", "Fee, without a currency of its own"),
    decimal("return_fee", "Fee, without a currency of its own"),
    decimal("shipment_fee", "Fee, without a currency of its own"),
    boolean("is_returned", "The unit came back; means something once validated_at is there"),
    boolean("is_restockable", "It can be sold again; means something once validated_at is there"),
    text("non_returned_reason", "Why it did not come"),
    text("non_restockable_reason", "Why it cannot be sold"),
    instant("validated_at", "lastValidationDate; none: not inspected"),
    instant("updated_at", "lastUpdated of the RMA", required=True),
    version="updated_at",
)

RETURNGO_TRANSACTIONS = core(
    "returngo__transactions",
    "One row per money movement of an RMA: the third column of the three-way match",
    ("transaction_id",),
    text("transaction_id", "Transaction id", required=True),
    text("platform_return_id", "ReturnGO's number of the RMA", required=True),
    text("transaction_type", "RefundToPaymentMethod, InvoicePayment and others", required=True),
    text("status", "Requested (waits for its outcome), Success, Failed; unknown values are kept", required=True),
    CURRENCY,
    money("amount_minor", "Amount", required=True),
    text("processor", "Who moves the money"),
    text("external_reference_id", "The refund elsewhere: ours once we told it"),
    text("external_reference_type", "What kind of reference that is"),
    json_text("item_ids", "returnItemIds: the units it is for"),
    instant("created_at", "Created", required=True),
    instant("updated_at", "lastUpdated of the RMA", required=True),
    instant("settled_at", "lastUpdated of the transaction, once it waits no more"),
    version="updated_at",
)

RETURNGO_SIGHTINGS = core(
    "returngo__sightings",
    "One row per status an RMA or a shipment of it was seen in; fetched_at is when first, for ReturnGO gives no such time",
    ("platform_return_id", "subject", "subject_id", "status"),
    text("platform_return_id", "ReturnGO's number of the RMA", required=True),
    text("subject", "rma or shipment", required=True),
    text("subject_id", "The RMA's number or the shipment's id", required=True),
    text("status", "Status as ReturnGO gives it", required=True),
    boolean("is_outbound", "A shipment to the customer"),
)

PEOPLEVOX_SALES_ORDERS = core(
    "peoplevox__sales_orders",
    "One row per sales order in the warehouse",
    ("sales_order_number",),
    text("sales_order_number", "Sales order number = marketplace order id", required=True),
    text("status", "Status as the tenant calls it", required=True),
    instant("created_at", "Created"),
)

PEOPLEVOX_SALES_ORDER_ITEMS = core(
    "peoplevox__sales_order_items",
    "One row per line of a sales order in the warehouse",
    ("sales_order_number", "line"),
    text("sales_order_number", "Sales order number = marketplace order id", required=True),
    text("line", "Line key: the place of the line on the marketplace order", required=True),
    text("item_code", "Item code", required=True),
    integer("quantity", "Units ordered", required=True),
)

PEOPLEVOX_DESPATCHES = core(
    "peoplevox__despatches",
    "One row per despatched item line (report Despatch summary)",
    ("despatch_number", "item_code", "row_no"),
    text("despatch_number", "Despatch (parcel) number", required=True),
    text("sales_order_number", "Sales order number", required=True),
    text("item_code", "Item code", required=True),
    integer("row_no", "1.. among rows of one despatch and item", required=True),
    integer("quantity", "Units despatched", required=True),
    text("carrier", "Carrier as the warehouse calls it"),
    text("service", "Service"),
    text("tracking_number", "Tracking number"),
    text("site", "Site"),
    instant("despatched_at", "When the parcel left", required=True),
)

PEOPLEVOX_RETURNS = core(
    "peoplevox__returns",
    "One row per inspected return line (report Return summary)",
    ("return_code", "item_code", "row_no"),
    text("return_code", "Return code", required=True),
    text("sales_order_number", "Sales order number", required=True),
    text("item_code", "Item code that came", required=True),
    integer("row_no", "1.. among rows of one return code and item", required=True),
    integer("quantity", "Units", required=True),
    text("return_condition", "Condition as the tenant calls it"),
    boolean("is_reusable", "Is Reusable", required=True),
    text("return_reason", "Warehouse's reason"),
    text("site", "Site"),
    instant("returned_at", "When it was inspected", required=True),
)

PEOPLEVOX_GOODS_IN = core(
    "peoplevox__goods_in",
    "One row per item of a delivery (report Goods in summary); a returned parcel's delivery names its expected receipt",
    ("goods_in_reference", "item_code", "row_no"),
    text("goods_in_reference", "Goods in reference number", required=True),
    text("purchase_order_number", "Purchase order it was booked against"),
    text("item_code", "Item code", required=True),
    integer("row_no", "1.. among rows of one delivery and item", required=True),
    integer("quantity", "Units", required=True),
    text("site", "Site"),
    instant("delivered_at", "When it arrived", required=True),
    instant("reconciled_at", "When it was reconciled"),
)

PEOPLEVOX_STOCK = core(
    "peoplevox__stock",
    "One row per item and site (report Item inventory summary)",
    ("item_code", "site"),
    text("item_code", "Item code", required=True),
    text("site", "Site; * where the report names none", required=True),
    integer("available", "Units free to sell", required=True),
    integer("on_hand", "Units on hand"),
    boolean("is_listed", "Whether the last whole list still had it", required=True),
)

PEOPLEVOX_PURCHASE_ORDERS = core(
    "peoplevox__purchase_orders",
    "One row per returns purchase order (expected receipt)",
    ("purchase_order_number",),
    text("purchase_order_number", "RTN-<marketplace return id>", required=True),
    text("status", "Pending, Cancelled...", required=True),
    text("reference", "Reference"),
)

PEOPLEVOX_PURCHASE_ORDER_ITEMS = core(
    "peoplevox__purchase_order_items",
    "One row per line of a returns purchase order (expected receipt)",
    ("purchase_order_number", "line"),
    text("purchase_order_number", "RTN-<marketplace return id>", required=True),
    text("line", "Line key", required=True),
    text("item_code", "Item code", required=True),
    integer("quantity", "Units expected", required=True),
    text("status", "Pending; Closed where it is expected no more"),
)

PEOPLEVOX_ITEM_TYPES = core(
    "peoplevox__item_types",
    "One row per item of the warehouse catalogue",
    ("item_code",),
    text("item_code", "Item code", required=True),
    text("name", "Name"),
    text("barcode", "Barcode"),
    boolean("is_listed", "Whether the last whole list still had it", required=True),
)

CORE_TABLES: tuple[Table, ...] = (
    MIRAKL_ORDERS,
    MIRAKL_ORDER_LINES,
    MIRAKL_ORDER_LINE_TAXES,
    MIRAKL_REFUNDS,
    MIRAKL_REFUND_TAXES,
    MIRAKL_CANCELATIONS,
    MIRAKL_RETURNS,
    MIRAKL_RETURN_LINES,
    MIRAKL_SHIPMENTS,
    MIRAKL_SHIPMENT_LINES,
    MIRAKL_OFFERS,
    MIRAKL_TRANSACTIONS,
    MIRAKL_BILLING_CYCLES,
    MIRAKL_BILLING_CYCLE_TOTALS,
    MIRAKL_INVOICES,
    MIRAKL_REASONS,
    MIRAKL_CARRIERS,
    MIRAKL_PLATFORM,
    REVENI_RETURNS,
    REVENI_RETURN_ITEMS,
    REVENI_REFUNDS,
    RETURNGO_RMAS,
    RETURNGO_RMA_ITEMS,
    RETURNGO_TRANSACTIONS,
    RETURNGO_SIGHTINGS,
    REBOUND_RETURNS,
    REBOUND_RETURN_ITEMS,
    REBOUND_TRACKING_EVENTS,
    PEOPLEVOX_SALES_ORDERS,
    PEOPLEVOX_SALES_ORDER_ITEMS,
    PEOPLEVOX_DESPATCHES,
    PEOPLEVOX_RETURNS,
    PEOPLEVOX_GOODS_IN,
    PEOPLEVOX_STOCK,
    PEOPLEVOX_PURCHASE_ORDERS,
    PEOPLEVOX_PURCHASE_ORDER_ITEMS,
    PEOPLEVOX_ITEM_TYPES,
)

RETURN_UNIT_ASSIGNMENTS = Table(
    "core",
    "return_unit_assignments",
    "Which unit (ordinal) of an order line a return announced: given once, so that a refund's key never moves",
    ("shop", "return_id", "order_line_id", "unit_no"),
    (
        SHOP,
        text(
            "return_id",
            "Marketplace return id; <platform>:<its return id> where the return was opened there and no marketplace return was known",
            required=True,
        ),
        text("order_line_id", "Order line id", required=True),
        integer("unit_no", "1.. within the return line", required=True),
        integer("ordinal", "1.. within the order line; above its quantity: over-returned", required=True),
        instant("assigned_at", "When it was given", required=True),
    ),
    version="assigned_at",
)

RECEIPT_ASSIGNMENTS = Table(
    "core",
    "receipt_assignments",
    "Which return unit a received unit is: given once, one to one (R109)",
    ("shop", "receipt_event_id", "unit_no"),
    (
        SHOP,
        text("receipt_event_id", "Receipt event", required=True),
        integer("unit_no", "1.. within the receipt event", required=True),
        text("return_unit_id", "Return unit: <order_line_id>#<ordinal>", required=True),
        text("return_id", "Return id that the unit was given under (core.return_unit_assignments)", required=True),
        text("matched_by", "item (same item code) or wrong_item (another came)", required=True),
        instant("assigned_at", "When it was given", required=True),
    ),
    version="assigned_at",
)

BOOKINGS = Table(
    "core",
    "bookings",
    "What the transaction log has booked on an order line or a refund, added up as of each time it changed: kept as the log lands",
    ("shop", "kind", "subject_id", "currency", "booked_from"),
    (
        SHOP,
        text(
            "kind", "sale or refund; unnamed sale, unnamed refund where the log's line names no subject", required=True
        ),
        text(
            "subject_id",
            "Order line of a sale, refund id of a refund; the log's line itself where unnamed",
            required=True,
        ),
        CURRENCY,
        instant("booked_from", "Since when this is what is booked (first line of a quarter of an hour)", required=True),
        instant("booked_until", "Until when; empty for what is booked now"),
        boolean("is_first", "Nothing was booked on the subject before", required=True),
        text("order_id", "Logistic order id"),
        text("order_line_id", "Order line id"),
        money("product_minor", "Product, signed as the log is, up to then", required=True),
        money("shipping_minor", "Shipping", required=True),
        money("product_tax_minor", "Tax on the product", required=True),
        money("shipping_tax_minor", "Tax on shipping", required=True),
        money("commission_minor", "Commission, net", required=True),
        money("commission_vat_minor", "VAT on the commission", required=True),
        boolean("has_amounts", "More than commission is booked", required=True),
        text("billing_cycle_id", "Payout cycle of a refund's amounts, once in one"),
        integer("lines", "Lines of the log that this adds up", required=True),
    ),
    version="booked_from",
)

ORDER_REFERENCES = Table(
    "core",
    "order_references",
    "Which order a number belongs to, for the numbers that are not the order's own: kept as they land",
    ("shop", "reference", "kind", "order_id", "return_id"),
    (
        SHOP,
        text("reference", "The number: of a return, RMA, refund, parcel, despatch, warehouse return", required=True),
        text("kind", "What kind of number it is, in words for people", required=True),
        text(
            "order_id",
            "Order id as the source that gave the number writes it; empty where it names none",
            required=True,
        ),
        text("return_id", "Marketplace return id, where the source names that; else empty", required=True),
    ),
    version="reference",
)

PAYLOADS = Table(
    "landing",
    "payloads",
    "Every object as it came, append-only, de-duplicated by content; personal fields are split off",
    ("shop", "source", "object_type", "object_id", "content_hash", "fetched_at"),
    (
        SHOP,
        text("source", "mirakl, a returns platform, or peoplevox", required=True),
        text("object_type", "order, return, transaction... (the stream's name)", required=True),
        text("object_id", "Id in the source", required=True),
        text("content_hash", "SHA-256 of the canonical JSON, without personal fields", required=True),
        json_text("body", "The object as it came, as JSON, without personal fields", required=True),
        instant("fetched_at", "When it was fetched first", required=True),
        text("run_id", "Run that fetched it", required=True),
    ),
)

QUARANTINE = Table(
    "landing",
    "quarantine",
    "Rows that failed their schema, with the reason; the payload stays in landing",
    ("shop", "source", "table_name", "row_key", "payload_hash"),
    (
        SHOP,
        text("source", "Source system", required=True),
        text("table_name", "Table the row was meant for", required=True),
        text("row_key", "Key of the row as far as it could be read", required=True),
        text("reason", "Every failed check, in words", required=True),
        text("payload_hash", "Landed payload", required=True),
        json_text("raw_row", "The row as read, as JSON (no personal fields)", required=True),
        instant("quarantined_at", "When", required=True),
        text("run_id", "Run", required=True),
    ),
    version="quarantined_at",
)

LAKE_TABLES: tuple[Table, ...] = (
    PAYLOADS,
    QUARANTINE,
    *CORE_TABLES,
    RETURN_UNIT_ASSIGNMENTS,
    RECEIPT_ASSIGNMENTS,
    BOOKINGS,
    ORDER_REFERENCES,
)
