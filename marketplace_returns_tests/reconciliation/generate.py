"""A synthetic month of core tables, made in SQL from ``range`` and ``hash``: the same rows for the same arguments.

Here: a shop's October 2026 with orders, taxes, refunds, the transaction log, payout cycles with their statements, returns,
receipts, Reveni's refunds and our intents, whose identities hold to 0.00. Not here: anomalies; a test plants its own. The
statement's totals come from the sandbox's tables of fields, not from the product's, so that a mistake cannot cancel out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from marketplace_returns.lake import bookings
from marketplace_returns.lake.tables import CORE_TABLES, LAKE_TABLES
from marketplace_returns.reconciliation.close import INTENTS, run_query
from marketplace_returns.sandbox.accounting import SUMMARY_PAIRS, SUMMARY_SINGLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake

SHOP = "asos_uk"
MONTH = "2026-10"
SEEN_AT = datetime(2026, 11, 4, 12, tzinfo=UTC)
"""When the data was last read: the cycle of 1 November is there and paid."""

# One row per order line, with every figure the other tables are made of. Amounts divide by the quantity, so that a
# unit's share needs no rounding; the log books at debit and at payment of a refund.
_LINES = """
CREATE OR REPLACE TEMP TABLE gen_lines AS
WITH drawn AS (
    SELECT
        i,
        i * 5 // 8 AS order_no,
        hash(i) AS h,
        CASE WHEN hash(i, 'quantity') % 10 = 0 THEN 2 ELSE 1 END AS quantity,
        TIMESTAMPTZ '2026-09-22 00:00:00+00' + to_seconds(CAST((i * 5 // 8) * $step AS BIGINT)) AS created_at
    FROM range($lines) AS r (i)
),
priced AS (
    SELECT
        *,
        printf('%d-A', 700000000 + order_no) AS order_id,
        printf('%d-A-%d', 700000000 + order_no, i - ((order_no * 8 + 4) // 5) + 1) AS order_line_id,
        quantity * (500 + CAST(h % 9500 AS BIGINT)) AS price,
        CASE WHEN i = (order_no * 8 + 4) // 5 THEN quantity * 350 ELSE 0 END AS shipping
    FROM drawn
)
SELECT
    *,
    quantity * ((price // quantity) // 5) AS tax,
    quantity * ((shipping // quantity) // 5) AS shipping_tax,
    quantity * (((price + shipping) // quantity) * 15 // 100) AS commission,
    quantity * (((price + shipping) // quantity) * 3 // 100) AS commission_vat,
    -- A refund gives the price of one unit back, and the commission on that.
    (price // quantity) * 15 // 100 AS credit,
    (price // quantity) * 3 // 100 AS credit_vat,
    created_at + INTERVAL 1 HOUR AS debited_at,
    created_at + INTERVAL 5 DAY AS received_at,
    created_at + INTERVAL 8 DAY AS requested_at,
    created_at + INTERVAL 10 DAY AS paid_at,
    hash(i, 'returned') % 100 < 40 AND created_at + INTERVAL 8 DAY < $seen_at AS is_returned
FROM priced
"""

_LOG = """
CREATE OR REPLACE TEMP TABLE gen_log AS
WITH cycles (cycle_at) AS (
    VALUES (TIMESTAMPTZ '2026-10-01 00:10:00+00'), (TIMESTAMPTZ '2026-10-11 00:10:00+00'),
        (TIMESTAMPTZ '2026-10-21 00:10:00+00'), (TIMESTAMPTZ '2026-11-01 00:10:00+00')
),
booked AS (
    SELECT
        l.debited_at AS created_at, l.received_at AS payable_at, l.order_id, l.order_line_id, NULL AS refund_id,
        unnest([
            {'type': 'ORDER_AMOUNT', 'amount': l.price},
            {'type': 'ORDER_SHIPPING_AMOUNT', 'amount': l.shipping},
            {'type': 'ORDER_AMOUNT_TAX', 'amount': CASE WHEN $on_top THEN l.tax ELSE 0 END},
            {'type': 'ORDER_SHIPPING_AMOUNT_TAX', 'amount': CASE WHEN $on_top THEN l.shipping_tax ELSE 0 END},
            {'type': 'COMMISSION_FEE', 'amount': -l.commission},
            {'type': 'COMMISSION_VAT', 'amount': -l.commission_vat}
        ]) AS part
    FROM gen_lines AS l
    UNION ALL
    SELECT
        l.paid_at AS created_at, greatest(l.paid_at, l.received_at) AS payable_at, l.order_id, l.order_line_id, 'R' || l.order_line_id AS refund_id,
        unnest([
            {'type': 'REFUND_ORDER_AMOUNT', 'amount': -l.price // l.quantity},
            {'type': 'REFUND_ORDER_AMOUNT_TAX', 'amount': CASE WHEN $on_top THEN -l.tax // l.quantity ELSE 0 END},
            {'type': 'REFUND_COMMISSION_FEE', 'amount': l.credit},
            {'type': 'REFUND_COMMISSION_VAT', 'amount': l.credit_vat}
        ]) AS part
    FROM gen_lines AS l
    WHERE l.is_returned AND l.paid_at < $seen_at
    UNION ALL
    SELECT
        charged_at AS created_at, charged_at AS payable_at, NULL AS order_id, NULL AS order_line_id, NULL AS refund_id, part
    FROM (
        VALUES
            (TIMESTAMPTZ '2026-10-01 06:00:00+00', {'type': 'SUBSCRIPTION_FEE', 'amount': -2500}),
            (TIMESTAMPTZ '2026-10-01 06:00:00+00', {'type': 'SUBSCRIPTION_VAT', 'amount': -500}),
            (TIMESTAMPTZ '2026-10-08 10:00:00+00', {'type': 'SELLER_PENALTY_FEE', 'amount': -1000}),
            (TIMESTAMPTZ '2026-10-15 15:00:00+00', {'type': 'MANUAL_CREDIT', 'amount': 1500})
    ) AS fees (charged_at, part)
)
SELECT
    printf('T%012d', row_number() OVER (ORDER BY b.created_at, b.order_line_id, b.refund_id, b.part.type)) AS transaction_id,
    b.part.type AS transaction_type,
    CAST(b.part.amount AS BIGINT) AS amount_minor,
    b.order_id, b.order_line_id, b.refund_id, b.created_at, b.payable_at,
    CASE WHEN c.cycle_at IS NOT NULL THEN strftime(c.cycle_at, 'cycle-%Y-%m-%d') END AS billing_cycle_id,
    c.cycle_at
FROM booked AS b
ASOF LEFT JOIN cycles AS c ON b.payable_at <= c.cycle_at
WHERE b.part.amount <> 0
"""

_CORE = {
    "mirakl__orders": """
        SELECT order_id, order_id AS commercial_id, 'RECEIVED' AS order_state, $mode AS order_tax_mode, 'GBP' AS currency,
            CAST(sum(price) AS BIGINT) AS price_minor, CAST(sum(shipping) AS BIGINT) AS shipping_price_minor,
            CAST(sum(price + shipping) AS BIGINT) AS total_price_minor, min(created_at) AS created_at, min(received_at) AS updated_at,
            min(debited_at) AS customer_debited_at
        FROM gen_lines GROUP BY order_id""",
    "mirakl__order_lines": """
        SELECT order_line_id, order_id, 'RECEIVED' AS line_state, 'SKU-' || h % 5000 AS offer_sku, quantity, 'GBP' AS currency,
            price AS price_minor, shipping AS shipping_price_minor, price + shipping AS total_price_minor,
            commission AS commission_fee_minor, commission_vat AS commission_vat_minor, tax AS product_tax_minor,
            shipping_tax AS shipping_tax_minor, created_at, received_at AS updated_at, debited_at, received_at
        FROM gen_lines""",
    "mirakl__order_line_taxes": """
        SELECT order_line_id, order_id, 'product' AS tax_kind, 'VAT20' AS tax_code, 'GBP' AS currency, tax AS amount_minor,
            'PROPORTIONAL_TO_AMOUNT' AS calculation_rule, received_at AS updated_at
        FROM gen_lines
        UNION ALL
        SELECT order_line_id, order_id, 'shipping', 'VAT20', 'GBP', shipping_tax, 'PROPORTIONAL_TO_AMOUNT', received_at
        FROM gen_lines WHERE shipping > 0""",
    "mirakl__refunds": """
        SELECT 'R' || order_line_id AS refund_id, order_id, order_line_id,
            CASE WHEN paid_at < $seen_at THEN 'REFUNDED' ELSE 'WAITING_REFUND_PAYMENT' END AS refund_state,
            'REFUND_1' AS reason_code, 1 AS quantity, 'GBP' AS currency, price // quantity AS amount_minor,
            0 AS shipping_amount_minor, tax // quantity AS tax_minor, 0 AS shipping_tax_minor,
            credit AS commission_minor, credit_vat AS commission_vat_minor,
            requested_at AS created_at, CASE WHEN paid_at < $seen_at THEN paid_at END AS paid_at, requested_at AS updated_at
        FROM gen_lines WHERE is_returned""",
    "mirakl__refund_taxes": """
        SELECT 'R' || order_line_id AS refund_id, order_line_id, 'product' AS tax_kind, 'VAT20' AS tax_code, 'GBP' AS currency,
            tax // quantity AS amount_minor, requested_at AS updated_at
        FROM gen_lines WHERE is_returned""",
    "mirakl__transactions": """
        SELECT transaction_id, transaction_type, CASE WHEN billing_cycle_id IS NULL THEN 'PENDING' ELSE 'PAID' END AS payment_state,
            'GBP' AS currency, amount_minor, order_id, order_line_id, refund_id, billing_cycle_id, created_at,
            coalesce(cycle_at, created_at) AS updated_at
        FROM gen_log
        UNION ALL
        SELECT 'P' || billing_cycle_id, 'PAYMENT', 'PAID', 'GBP', CAST(-sum(amount_minor) AS BIGINT), NULL, NULL, NULL,
            billing_cycle_id, min(cycle_at) + INTERVAL 57 HOUR, min(cycle_at) + INTERVAL 57 HOUR
        FROM gen_log WHERE billing_cycle_id IS NOT NULL GROUP BY billing_cycle_id""",
    "mirakl__billing_cycles": """
        SELECT billing_cycle_id, min(cycle_at) AS created_at, 'GBP' AS currency, CAST(sum(amount_minor) AS BIGINT) AS amount_to_seller_minor,
            'PAID' AS pay_out_state, 'PAYOUT-' || billing_cycle_id AS pay_out_reference
        FROM gen_log WHERE billing_cycle_id IS NOT NULL GROUP BY billing_cycle_id""",
    "mirakl__billing_cycle_totals": """
        SELECT l.billing_cycle_id, f.field, 'GBP' AS currency, CAST(sum(l.amount_minor) AS BIGINT) AS amount_minor
        FROM gen_log AS l INNER JOIN gen_fields AS f ON f.type = l.transaction_type
        WHERE l.billing_cycle_id IS NOT NULL GROUP BY l.billing_cycle_id, f.field""",
    "mirakl__invoices": """
        SELECT 'invoice-' || billing_cycle_id AS document_id, 'AUTO_INVOICE' AS invoice_type, 'COMPLETE' AS invoice_state, billing_cycle_id,
            'GBP' AS currency, CAST(sum(amount_minor) AS BIGINT) AS amount_transferred_minor, 'PAID' AS payment_state,
            min(cycle_at) AS created_at
        FROM gen_log WHERE billing_cycle_id IS NOT NULL GROUP BY billing_cycle_id""",
    "mirakl__returns": """
        SELECT 'RT' || order_line_id AS return_id, order_id, 'RECEIVED' AS return_state, created_at + INTERVAL 5 DAY AS created_at,
            requested_at AS updated_at
        FROM gen_lines WHERE is_returned""",
    "mirakl__return_lines": """
        SELECT 'RT' || order_line_id AS return_id, order_id, order_line_id, 1 AS quantity, 'RETURN_1' AS reason_code, requested_at AS updated_at
        FROM gen_lines WHERE is_returned""",
    "return_unit_assignments": """
        SELECT 'RT' || order_line_id AS return_id, order_line_id, 1 AS unit_no, 1 AS ordinal, requested_at AS assigned_at
        FROM gen_lines WHERE is_returned""",
    "peoplevox__returns": """
        SELECT 'C' || order_line_id AS return_code, order_id AS sales_order_number, 'SKU-' || h % 5000 AS item_code, 1 AS row_no,
            1 AS quantity, 'New' AS return_condition, true AS is_reusable, requested_at - INTERVAL 2 HOUR AS returned_at
        FROM gen_lines WHERE is_returned""",
    "receipt_assignments": """
        SELECT 'peoplevox:C' || order_line_id || ':SKU-' || h % 5000 || ':1' AS receipt_event_id, 1 AS unit_no,
            order_line_id || '#1' AS return_unit_id, 'RT' || order_line_id AS return_id, 'item' AS matched_by, requested_at AS assigned_at
        FROM gen_lines WHERE is_returned""",
    "reveni__returns": """
        SELECT 'V' || order_line_id AS platform_return_id, 'RT' || order_line_id AS external_id, order_id, 'COMPLETED' AS status,
            'GBP' AS currency, created_at + INTERVAL 5 DAY AS created_at, requested_at AS updated_at
        FROM gen_lines WHERE is_returned""",
    "reveni__return_items": """
        SELECT 'V' || order_line_id AS platform_return_id, '1' AS item_id, order_line_id AS external_id, 'SKU-' || h % 5000 AS sku,
            1 AS quantity, 'ACCEPTED' AS item_status, 'GBP' AS currency, requested_at AS updated_at
        FROM gen_lines WHERE is_returned""",
    "reveni__refunds": """
        SELECT 'VF' || order_line_id AS platform_refund_id, 'V' || order_line_id AS platform_return_id, 'GBP' AS currency,
            price // quantity AS amount_minor, 'EXECUTED' AS status, false AS is_advance, requested_at AS updated_at
        FROM gen_lines WHERE is_returned""",
}

_INTENTS = """
CREATE OR REPLACE TEMP TABLE gen_intents AS
SELECT
    $shop AS shop, 'refund' AS kind, order_line_id || '#1' AS natural_key, 'I' || order_line_id AS intent_id, 'CONFIRMED' AS state,
    order_id, order_line_id, 'RT' || order_line_id AS return_id, order_line_id || '#1' AS return_unit_id,
    CAST(price // quantity + CASE WHEN $on_top THEN tax // quantity ELSE 0 END AS BIGINT) AS amount_minor, 'GBP' AS currency,
    'R' || order_line_id AS external_ref, '{"refunds":[{"shipping_amount":"0.00"}]}' AS body, '{"trigger":"inspected"}' AS evidence,
    requested_at - INTERVAL 1 MINUTE AS planned_at, requested_at AS sent_at, requested_at AS confirmed_at, false AS is_adopted
FROM gen_lines
WHERE is_returned
"""


def generate(lake: Lake, con: DuckDBPyConnection, *, lines: int, tax_mode: str = "TAX_INCLUDED") -> pa.Table:
    """Fill the lake's core tables with a clean month of ``lines`` order lines; return the intents (``INTENTS``)."""
    bound = {
        "lines": lines,
        # Orders are spread evenly over the 40 days to 31 October.
        "step": 40 * 86_400 / max(1, lines * 5 // 8),
        "shop": SHOP,
        "mode": tax_mode,
        "on_top": tax_mode == "TAX_EXCLUDED",
        "seen_at": SEEN_AT,
    }
    fields = [
        (field, kind)
        for stem, (excl, incl) in SUMMARY_PAIRS.items()
        for field, kinds in ((f"{stem}_excl_tax", excl), (f"{stem}_incl_tax", (*excl, *incl)))
        for kind in kinds
    ] + [(field, kind) for field, kinds in SUMMARY_SINGLES.items() for kind in kinds]
    con.register("gen_field_rows", pa.table({"field": [f for f, _ in fields], "type": [t for _, t in fields]}))
    con.execute("CREATE OR REPLACE TEMP TABLE gen_fields AS SELECT * FROM gen_field_rows")
    con.unregister("gen_field_rows")
    for made in (_LINES, _LOG, _INTENTS):
        run_query(con, made, bound)

    def fill(con: DuckDBPyConnection) -> None:
        for name, query in _CORE.items():
            _insert(con, name, query, bound)
        bookings.remake(con, SHOP)

    lake.transact(con, "generate", "a synthetic month", fill)
    for name in ("gen_lines", "gen_log", "gen_fields"):
        con.execute(f"DROP TABLE {name}")
    return intents_of(con)


def intents_of(con: DuckDBPyConnection) -> pa.Table:
    """Return the generated intents as they stand in the connection's table ``gen_intents``."""
    return con.execute("SELECT * FROM gen_intents ORDER BY intent_id").to_arrow_table().cast(INTENTS)


def core_tables() -> dict[str, tuple[str, ...]]:
    """Return the columns of every core table by name."""
    return {table.name: tuple(column.name for column in table.columns) for table in (*CORE_TABLES, *LAKE_TABLES)}


def _insert(con: DuckDBPyConnection, name: str, query: str, bound: dict[str, object]) -> None:
    columns = core_tables()[name]
    made = [column[0] for column in con.execute(f"DESCRIBE {_bare(query)}").fetchall()]
    lineage = {"payload_hash": "'generated'", "fetched_at": "$seen_at", "run_id": "'generate'"}
    extra = {column: value for column, value in lineage.items() if column in columns}
    names = ", ".join(["shop", *made, *extra])
    values = ", ".join(["$shop", *made, *extra.values()])
    run_query(con, f"INSERT INTO lake.core.{name} ({names}) SELECT {values} FROM ({query})", bound)


def _bare(query: str) -> str:
    return query.replace("$mode", "''").replace("$seen_at", "TIMESTAMPTZ '2026-11-04 12:00:00+00'")
