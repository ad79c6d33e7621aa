"""The month-end tables, declared once: what the lake keeps of a closed month and what the pack shows of it.

Here: names, keys, meanings, the pack's columns and its order of rows. Not here: SQL that fills a table (one ``<table>.sql``
each) or code that runs it. The invariant: a declaration plus its ``.sql`` is all a month-end table needs; amounts are minor
units in the lake and plain decimals in the pack.
"""

from __future__ import annotations

from dataclasses import dataclass

from marketplace_returns.lake.tables import CURRENCY, SHOP, Column, Kind, Table, decimal, instant, integer, money, text

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
        totals_by: the column of the lake within whose values they may be, and not across; "" where across is right.
        is_file: a row per line or refund: its ``.sql`` writes the Parquet file ``$file``, which the lake takes as it is.
    """

    table: Table
    columns: tuple[tuple[str, str], ...]
    order_by: tuple[str, ...]
    has_pack_query: bool = False
    code_column: str = ""
    matched_codes: tuple[str, ...] = ()
    has_totals: bool = True
    totals_by: str = ""
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

RESERVE_ROLL_FORWARD = PackTable(
    recon(
        "reserve_roll_forward",
        "What the marketplace holds back of the seller's money: opening, held, released, closing (I3, I4)",
        ("component",),
        integer("row_no", "Place in the table: 0 is opening, the last is closing", required=True),
        text("component", "opening, held, released or closing", required=True),
        money("amount_minor", "+ is held back; what is released has a minus", required=True),
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
        text("order_line_id", "Order line id, or log:<transaction id> where the log names none", required=True),
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
        text(
            "variance_code",
            "Code of the first component that differs, ROUNDING only where no other does, FX where one is in another currency; empty where all agree",
            required=True,
        ),
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
            "refund:<refund id>, intent:<intent id>, unit:<return unit id>, receipt:<receipt event>, or log:<transaction id> where the log names none",
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
            "Largest minus smallest of intended, marketplace and settled (none counts as 0), or what is missing of the commission",
            required=True,
        ),
        text("verdict", "MATCHED or a variance code", required=True),
        text(
            "evidence_class",
            "What our refund stands on: INSPECTED, RECEIVED, CARRIER_SCAN or SLA_FORCED (the deadline, by policy); empty "
            "where it is not ours",
            required=True,
        ),
        money(
            "credit_difference_minor",
            "Commission given back on the log less what OR11 states, net; empty where either is missing",
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

MANUAL_PORTAL_ACTIONS = PackTable(
    recon(
        "manual_portal_actions",
        "One row per thing done by hand in the marketplace's portal in the month: refunds, cancelations, adjustments",
        ("kind", "reference"),
        text("kind", "refund, cancelation, or the transaction type of an adjustment in lower case", required=True),
        text("reference", "Id of the refund, cancelation or log line", required=True),
        text("order_id", "Logistic order id"),
        text("order_line_id", "Order line id"),
        text("refund_id", "Refund id"),
        money("amount_minor", "What the customer got; of an adjustment as on the log", required=True),
        instant("seen_at", "When it was done", required=True),
    ),
    _same("kind", "order_id", "order_line_id", "refund_id", "amount_minor", "seen_at"),
    ("kind", "seen_at", "reference"),
    totals_by="kind",
)

TIMING_DIFFERENCES = PackTable(
    recon(
        "timing_differences",
        "One row per difference that time alone explains, and the month that takes it over",
        ("cause", "reference"),
        text(
            "cause",
            "TIMING_REFUND_PENDING, TIMING_CUTOFF, CARRIED_IN, CARRIED_OUT, DEBITED_NOT_SHIPPED or LATE_VAT",
            required=True,
        ),
        text(
            "reference",
            "Match key of the refund, cycle id (open where there is none), order line id, or refund id",
            required=True,
        ),
        text("order_id", "Logistic order id"),
        text("refund_id", "Refund id"),
        money("amount_minor", "Amount that is in another month", required=True),
        text("from_month", "Month it arose in", required=True),
        text("to_month", "Month it ended in; empty while unknown"),
    ),
    _same("cause", "order_id", "refund_id", "amount_minor", "from_month", "to_month"),
    ("cause", "reference"),
    totals_by="cause",
)

AGED_UNMATCHED = PackTable(
    recon(
        "aged_unmatched",
        "One row per item of the month that is not matched, with its age at month end and its owner",
        ("kind", "reference"),
        text("bucket", "0-7, 8-14, 15-30, 31-60, 61-90 or >90 days", required=True),
        text("kind", "Variance code, PAYOUT or PAYOUT_OPEN", required=True),
        text("reference", "Cycle id, order line id, or match key of the refund", required=True),
        money("amount_minor", "Amount unmatched", required=True),
        integer("age_days", "Whole days from when it arose to month end", required=True),
        text("owner", "Who has to deal with it", required=True),
    ),
    _same("bucket", "kind", "reference", "amount_minor", "age_days", "owner"),
    ("age_days", "kind", "reference"),
    code_column="bucket",
)

VAT_SUMMARY = PackTable(
    recon(
        "vat_summary",
        "VAT by direction, tax code and rate, by the date on which money moved; what came late for a signed month is in the next (I13)",
        ("direction", "tax_code", "rate"),
        text(
            "direction",
            "output_sales, output_refunds, input or operator_remitted; prior_output_sales and prior_output_refunds are what came "
            "late for months that are signed",
            required=True,
        ),
        text("tax_code", "Tax code; for input the kind of charge; empty where there is none", required=True),
        decimal("rate", "Percent, as the marketplace states it; empty where it does not"),
        money("net_minor", "What the tax stands on; refunds with minus; charges with plus", required=True),
        money("tax_minor", "The tax; refunds with minus; charges with plus", required=True),
        money("logged_tax_minor", "Of an output tax, what comes on top of the amounts, so that the log has it"),
    ),
    _same("month", "direction", "tax_code", "rate", "net_minor", "tax_minor"),
    ("direction", "tax_code", "rate"),
    totals_by="direction",
)

COMMISSION_VARIANCE = PackTable(
    recon(
        "commission_variance",
        "One row per order line whose commission or commission credit is not what the contract says (I12)",
        ("order_line_id",),
        text("order_id", "Logistic order id", required=True),
        text("order_line_id", "Order line id", required=True),
        money("expected_commission_minor", "By commission_rates, net", required=True),
        money("charged_commission_minor", "Booked, net", required=True),
        money("expected_credit_minor", "For the refunds paid in the month", required=True),
        money("credited_minor", "Given back for them", required=True),
        money("difference_minor", "Kept by the marketplace beyond what is expected", required=True),
        text("variance_code", "ROUNDING, COMMISSION_RATE or COMMISSION_CREDIT_MISSING", required=True),
    ),
    _same(
        "order_id",
        "order_line_id",
        "expected_commission_minor",
        "charged_commission_minor",
        "expected_credit_minor",
        "credited_minor",
        "difference_minor",
        "variance_code",
    ),
    ("order_id", "order_line_id"),
    code_column="variance_code",
    matched_codes=("ROUNDING",),
)

DESPATCH_VS_REVENUE = PackTable(
    recon(
        "despatch_vs_revenue",
        "One row per order line despatched or shown as shipped by month end: the cut-off of revenue",
        ("order_line_id",),
        text("order_id", "Logistic order id", required=True),
        text("order_line_id", "Order line id", required=True),
        integer("despatched_quantity", "Units that left the warehouse by month end", required=True),
        integer("shipped_quantity", "Units the marketplace shows as shipped by month end", required=True),
        money("value_minor", "Price of the units on one side only, or of the line where both agree", required=True),
        text("state", "BOTH, DESPATCHED_NOT_SHIPPED or SHIPPED_NOT_DESPATCHED", required=True),
    ),
    _same("order_id", "order_line_id", "despatched_quantity", "shipped_quantity", "value_minor", "state"),
    ("order_id", "order_line_id"),
    code_column="state",
    matched_codes=("BOTH",),
    totals_by="state",
)

RETURNS_PHYSICAL_ROLL = PackTable(
    recon(
        "returns_physical_roll",
        "Returned goods not paid back yet, from opening to closing, in units and at their price (I8)",
        ("stage",),
        integer("row_no", "Place in the table: 0 is opening, the last is closing", required=True),
        text(
            "stage",
            "opening, corrections (what is known since of the signed month before), received_<disposition>, refunded, refused, closing",
            required=True,
        ),
        integer("quantity", "Units; what leaves has a minus", required=True),
        money("value_minor", "Their price", required=True),
    ),
    _same("month", "stage", "quantity", "value_minor"),
    ("row_no",),
    has_totals=False,
)

RETURNS_BY_WEEK = PackTable(
    recon(
        "returns_by_week",
        "One row per week of the month: what was sold, announced as returned and paid back, and how long customers waited",
        ("week",),
        Column(
            "week",
            Kind.DATE,
            "Its Monday, in the shop's time zone; the first may lie in the month before",
            required=True,
        ),
        integer("sold_quantity", "Units debited", required=True),
        integer("returned_quantity", "Units announced as returned", required=True),
        integer("refunded_quantity", "Units paid back", required=True),
        integer(
            "hours_to_refund", "Mean from announcement to refund of the units paid back, whole hours; empty without any"
        ),
    ),
    _same("month", "week", "sold_quantity", "returned_quantity", "refunded_quantity", "hours_to_refund"),
    ("week",),
    has_totals=False,
)

REFUND_ACCRUAL_BRIDGE = PackTable(
    recon(
        "refund_accrual_bridge",
        "The refund liability from opening to closing, its stages, and the way from cash refunds to accrued ones (I14)",
        ("line",),
        integer("row_no", "Place in the table", required=True),
        text(
            "line",
            "liability_*: opening to closing, corrections of the signed month before among them; closing_*: its stages; "
            "cash_refunds, accrual_refunds",
            required=True,
        ),
        money("amount_minor", "+ is owed to customers", required=True),
    ),
    _same("month", "line", "amount_minor"),
    ("row_no",),
    has_totals=False,
)

PRIOR_PERIOD_ADJUSTMENTS = PackTable(
    recon(
        "prior_period_adjustments",
        "One row per log line that arrived or changed after its month was signed, and is posted in this month (R111)",
        ("kind", "reference"),
        text("original_month", "Month the line was created in", required=True),
        text("posted_month", "Month it is posted in", required=True),
        text("kind", "late or changed, and the transaction type", required=True),
        text("reference", "Id of the log line", required=True),
        money("amount_minor", "+ is owed by the marketplace to the seller", required=True),
    ),
    _same("original_month", "posted_month", "kind", "reference", "amount_minor"),
    ("original_month", "kind", "reference"),
)

JOURNAL_LINES = PackTable(
    recon(
        "journal_lines",
        "Balanced journals of the month: one per payout cycle touched, one for what no cycle holds at month end, one for the VAT inside prices (I15)",
        ("journal_id", "line_no"),
        text(
            "journal_id",
            "<shop>-<month>-<reference>, and -<currency> where it is not the shop's: the same at every export",
            required=True,
        ),
        integer("line_no", "1.. within the journal", required=True),
        text("account", "Our account (mapping ledger_accounts)", required=True),
        text("description", "What it is", required=True),
        money("debit_minor", "Debit, 0 where it is a credit", required=True),
        money("credit_minor", "Credit, 0 where it is a debit", required=True),
        text("reference", "Cycle id, open, or included_vat", required=True),
    ),
    _same("month", "journal_id", "line_no", "account", "description", "debit_minor", "credit_minor", "reference"),
    ("journal_id", "line_no"),
)

STOCK_PROOF = PackTable(
    recon(
        "stock_proof",
        "One row per offer, or per returned unit of the month, by whose figure is on sale: what there is to sell beside what was offered (I10)",
        ("kind", "reference"),
        text("kind", "offer (wms_absolute) or unit (returns_delta)", required=True),
        text("reference", "Offer SKU, or receipt event and unit", required=True),
        integer(
            "wanted_qty",
            "Units the warehouse has to sell, as last read when the month was closed; 1 for a returned unit that is sellable",
            required=True,
        ),
        integer("found_qty", "Units on sale; of a returned unit, how often it was added", required=True),
        text(
            "state",
            "MATCHED, WAITING (its push is on its way) or SEEN_LATE (told, not added); else it breaks I10: VARIANCE, NO_FIGURE, "
            "NOT_ADDED, ADDED_TWICE, NOT_SELLABLE",
            required=True,
        ),
    ),
    (
        *_same("month", "kind", "reference"),
        ("wanted_quantity", "wanted_qty"),
        ("found_quantity", "found_qty"),
        *_same("state"),
    ),
    ("kind", "reference"),
    code_column="state",
    matched_codes=("MATCHED",),
    has_totals=False,
)

# In the order they are made: a later one may read an earlier one.
PACK_TABLES: tuple[PackTable, ...] = (
    PAYOUT_PROOF,
    PAYOUT_COMPONENTS,
    CONTROL_ROLL_FORWARD,
    RESERVE_ROLL_FORWARD,
    ORDER_VS_LEDGER,
    REFUND_THREE_WAY,
    RETURNS_PHYSICAL_ROLL,
    RETURNS_BY_WEEK,
    REFUND_ACCRUAL_BRIDGE,
    VAT_SUMMARY,
    COMMISSION_VARIANCE,
    DESPATCH_VS_REVENUE,
    TIMING_DIFFERENCES,
    AGED_UNMATCHED,
    MANUAL_PORTAL_ACTIONS,
    PRIOR_PERIOD_ADJUSTMENTS,
    STOCK_PROOF,
    JOURNAL_LINES,
)

# What tells at once whether there is anything to replace: to ask each of the tables takes a tenth of a close.
MONTHS = Table(
    SCHEMA,
    "months",
    "One row per month of a shop that has been closed, whatever its tables hold",
    ("shop", "month"),
    (SHOP, MONTH),
    "month",
)

# Who prepared and approved a month: kept by the ledger, shown by the pack.
SIGN_OFF = PackTable(
    recon(
        "sign_off",
        "The state of the month: who prepared it, who approved it, and what exactly they saw",
        (),
        text("state", "OPEN, REVIEW, SIGNED or LOCKED", required=True),
        text("prepared_by", "Who closed it"),
        instant("prepared_at", "When"),
        text("approved_by", "Who signed it; never who closed it"),
        instant("approved_at", "When"),
        text("lake_snapshot", "Snapshot of the lake that holds the month as it was closed"),
        text("manifest_hash", "Hash over the hashes of the month's tables and journals"),
    ),
    _same(
        "month", "state", "prepared_by", "prepared_at", "approved_by", "approved_at", "lake_snapshot", "manifest_hash"
    ),
    ("month",),
    has_totals=False,
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
