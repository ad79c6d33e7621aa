"""The month-end tables, declared once: what the lake keeps of a closed month and what the pack shows of it.

Here: names, keys, meanings, the pack's columns and its order of rows. Not here: SQL that fills a table (one ``<table>.sql``
each) or code that runs it. The invariant: a declaration plus its ``.sql`` is all a month-end table needs; amounts are minor
units in the lake and plain decimals in the pack.
"""

from __future__ import annotations

from dataclasses import dataclass

from marketplace_returns.lake.tables import CURRENCY, SHOP, Column, Kind, Table, instant, integer, money, text

MONTH = text("month", "Accounting month in the shop's time zone, such as 2026-10", required=True)
SCHEMA = "recon"


@dataclass(frozen=True)
class PackTable:
    """One month-end table.

    Attributes:
        table: what the lake keeps, replaced by (shop, month) at every close.
        columns: the pack's columns after shop and currency, as (name in the pack, column of the lake).
        order_by: columns of the lake that fix the order of rows in the pack.
        has_pack_query: ``<table>_pack.sql`` turns the lake's rows into the pack's, with the lake's column names.
        code_column: the column that says which rows a person should look at; "" where none does.
        matched_codes: values of ``code_column`` that need nobody.
        has_totals: its amounts may be added up; the roll-forward's may not, it holds its own total.
        is_file: a row per line or refund: its ``.sql`` writes the Parquet file ``$file``, which the lake takes as it is.
    """

    table: Table
    columns: tuple[tuple[str, str], ...]
    order_by: tuple[str, ...]
    has_pack_query: bool = False
    code_column: str = ""
    matched_codes: tuple[str, ...] = ()
    has_totals: bool = True
    is_file: bool = False

    @property
    def name(self) -> str:
        """The table's name in the lake, of its ``.sql`` file, its CSV and its sheet."""
        return self.table.name


def recon(name: str, meaning: str, key: tuple[str, ...], *columns: Column) -> Table:
    """Declare a month-end table: shop, currency and month first, unique by (shop, currency, month, key)."""
    return Table(SCHEMA, name, meaning, ("shop", "currency", "month", *key), (SHOP, CURRENCY, MONTH, *columns), "month")


def _same(*names: str) -> tuple[tuple[str, str], ...]:
    """Name the pack's columns after the lake's, without the unit suffix of amounts."""
    return tuple((name.removesuffix("_minor"), name) for name in names)


PAYOUT_PROOF = PackTable(
    recon(
        "payout_proof",
        "One row per payout cycle dated in the month: statement = transaction log = payment (I1)",
        ("billing_cycle_id",),
        text("billing_cycle_id", "Cycle id", required=True),
        instant("date_created", "When the cycle was closed", required=True),
        text(
            "pay_out_state",
            "TO_PAY, PAID, FAILED, or NOT_ON_STATEMENT where only the log names the cycle",
            required=True,
        ),
        money("statement_amount_minor", "amount_transferred_to_seller; empty where no statement came"),
        money("ledger_amount_minor", "Sum of the cycle's log lines without PAYMENT and NOT_APPLICABLE", required=True),
        money("payment_amount_minor", "Minus the sum of the cycle's PAYMENT lines; empty until one is there"),
        money("invoice_amount_minor", "Payout stated on the cycle's AUTO_INVOICE; empty until one is there"),
        money(
            "difference_minor",
            "The first of ledger, payment, invoice that differs from the statement, minus it",
            required=True,
        ),
        text("status", "PROVEN, VARIANCE or OPEN (not yet paid, nothing differs)", required=True),
    ),
    _same(
        "billing_cycle_id",
        "date_created",
        "pay_out_state",
        "statement_amount_minor",
        "ledger_amount_minor",
        "payment_amount_minor",
        "difference_minor",
        "status",
    ),
    ("date_created", "billing_cycle_id"),
    code_column="status",
    matched_codes=("PROVEN",),
)

PAYOUT_COMPONENTS = PackTable(
    recon(
        "payout_components",
        "One row per payout cycle of the month and statement component; the components of a cycle add up to its payout (I2)",
        ("billing_cycle_id", "component"),
        text("billing_cycle_id", "Cycle id", required=True),
        text("component", "Statement component; UNMAPPED for types no mapping knows", required=True),
        money("statement_amount_minor", "From the statement's totals; empty where the statement has no such total"),
        money("ledger_amount_minor", "Sum of the cycle's log lines of the component", required=True),
        money("difference_minor", "Ledger minus statement; empty where the statement has no such total"),
    ),
    _same("billing_cycle_id", "component", "statement_amount_minor", "ledger_amount_minor", "difference_minor"),
    ("billing_cycle_id", "component"),
)

CONTROL_ROLL_FORWARD = PackTable(
    recon(
        "control_roll_forward",
        "The marketplace control account: opening, one row per component's movement, closing (I3)",
        ("component",),
        integer("row_no", "Place in the table: 0 is opening, the last is closing", required=True),
        text("component", "opening, a component of the type mapping, UNMAPPED, or closing", required=True),
        money("amount_minor", "+ is owed by the marketplace to the seller", required=True),
        integer("lines", "Log lines counted", required=True),
    ),
    _same("month", "component", "amount_minor"),
    ("row_no",),
    has_totals=False,
)

ORDER_VS_LEDGER = PackTable(
    recon(
        "order_vs_ledger",
        "One row per order line debited or booked in the month: its OR11 figures beside the log's; the pack shows a row per component (I5)",
        ("order_line_id",),
        text("order_id", "Logistic order id", required=True),
        text("order_line_id", "Order line id", required=True),
        money("order_sales_minor", "Price of the line, without shipping", required=True),
        money("order_shipping_minor", "Shipping of the line", required=True),
        money("order_sales_tax_minor", "Product taxes on top (TAX_EXCLUDED), else 0", required=True),
        money("order_shipping_tax_minor", "Shipping taxes on top (TAX_EXCLUDED), else 0", required=True),
        money("order_commission_minor", "Minus the commission, net", required=True),
        money("order_commission_vat_minor", "Minus the VAT on it", required=True),
        money("ledger_sales_minor", "ORDER_AMOUNT", required=True),
        money("ledger_shipping_minor", "ORDER_SHIPPING_AMOUNT", required=True),
        money("ledger_sales_tax_minor", "ORDER_AMOUNT_TAX", required=True),
        money("ledger_shipping_tax_minor", "ORDER_SHIPPING_AMOUNT_TAX", required=True),
        money("ledger_commission_minor", "COMMISSION_FEE", required=True),
        money("ledger_commission_vat_minor", "COMMISSION_VAT", required=True),
        text("variance_code", "Code of the first component that differs; empty where all agree", required=True),
    ),
    _same(
        "order_id",
        "order_line_id",
        "component",
        "order_amount_minor",
        "ledger_amount_minor",
        "difference_minor",
        "variance_code",
    ),
    ("order_id", "order_line_id", "component"),
    has_pack_query=True,
    code_column="variance_code",
    is_file=True,
    matched_codes=("",),
)

REFUND_THREE_WAY = PackTable(
    recon(
        "refund_three_way",
        "One row per refund alive in the month, and per received unit without one: our intent, the marketplace, the log (I6)",
        ("match_key",),
        text(
            "match_key",
            "refund:<refund id>, intent:<intent id>, unit:<return unit id> or receipt:<receipt event>",
            required=True,
        ),
        text("order_id", "Logistic order id"),
        text("order_line_id", "Order line id"),
        text("return_id", "Return id"),
        text("return_unit_id", "First return unit of the refund"),
        text("refund_id", "Refund id; empty where the marketplace knows none"),
        money("intended_amount_minor", "Our confirmed intent, tax included; empty where there is none"),
        money("marketplace_amount_minor", "OR11 refund, tax included; empty where there is none"),
        money("settled_amount_minor", "Minus the log's REFUND_ORDER_* lines to month end; empty where there are none"),
        money(
            "platform_amount_minor",
            "Returns platform's own refund of the return, on its first row of the month; never used for a refund (R3)",
        ),
        integer("received_qty", "Inspected units of the refund", required=True),
        text("disposition", "Their dispositions"),
        instant("requested_at", "When the refund was requested"),
        instant("paid_at", "When the customer was paid"),
        text("billing_cycle_id", "Payout cycle of the log lines"),
        money(
            "difference_minor",
            "Largest minus smallest of intended, marketplace and settled (none counts as 0)",
            required=True,
        ),
        text("verdict", "MATCHED or a variance code", required=True),
        text(
            "evidence_class",
            "What our refund stands on: INSPECTED, RECEIVED, CARRIER_SCAN or SLA_FORCED (the deadline, by policy); empty "
            "where it is not ours",
            required=True,
        ),
    ),
    (
        *_same(
            "order_id", "order_line_id", "return_id", "refund_id", "intended_amount_minor", "marketplace_amount_minor"
        ),
        *_same("settled_amount_minor", "platform_amount_minor"),
        ("received_quantity", "received_qty"),
        *_same("disposition", "requested_at", "paid_at", "billing_cycle_id", "difference_minor", "verdict"),
    ),
    ("order_id", "order_line_id", "match_key"),
    code_column="verdict",
    matched_codes=("MATCHED",),
    is_file=True,
)

JOURNAL_LINES = PackTable(
    recon(
        "journal_lines",
        "Balanced journals of the month: one per payout cycle touched, one for what no cycle holds at month end (I15)",
        ("journal_id", "line_no"),
        text("journal_id", "<shop>-<month>-<cycle>, or <shop>-<month>-open: the same at every export", required=True),
        integer("line_no", "1.. within the journal", required=True),
        text("account", "Our account (mapping ledger_accounts)", required=True),
        text("description", "What it is", required=True),
        money("debit_minor", "Debit, 0 where it is a credit", required=True),
        money("credit_minor", "Credit, 0 where it is a debit", required=True),
        text("reference", "Cycle id, or open", required=True),
    ),
    _same("month", "journal_id", "line_no", "account", "description", "debit_minor", "credit_minor", "reference"),
    ("journal_id", "line_no"),
)

# In the order they are made: a later one may read an earlier one.
PACK_TABLES: tuple[PackTable, ...] = (
    PAYOUT_PROOF,
    PAYOUT_COMPONENTS,
    CONTROL_ROLL_FORWARD,
    ORDER_VS_LEDGER,
    REFUND_THREE_WAY,
    JOURNAL_LINES,
)

# What a pack query adds to the lake's columns: kinds of columns that no lake table has.
DERIVED_KINDS: dict[str, Kind] = {
    "component": Kind.TEXT,
    "order_amount_minor": Kind.MONEY,
    "ledger_amount_minor": Kind.MONEY,
    "difference_minor": Kind.MONEY,
}


def kind_of(pack_table: PackTable, lake_column: str) -> Kind:
    """Return what a pack column holds; KeyError where neither the table nor its pack query declares it."""
    for column in pack_table.table.columns:
        if column.name == lake_column:
            return column.kind
    return DERIVED_KINDS[lake_column]
