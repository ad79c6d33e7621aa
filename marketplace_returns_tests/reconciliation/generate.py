"""A synthetic month of core tables, made in SQL from ``range`` and ``hash``: the same rows for the same arguments.

Here: a shop's month with orders, taxes, refunds, the transaction log, payout cycles with their statements, returns,
receipts, Reveni's refunds, stock on both sides and our intents, whose identities hold to 0.00. Not here: anomalies; a test plants its own. The
statement's totals come from the sandbox's tables of fields, not from the product's, so that a mistake cannot cancel out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from marketplace_returns.lake import bookings
from marketplace_returns.lake.tables import CORE_TABLES, LAKE_TABLES
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import INTENTS, run_query
from marketplace_returns.sandbox.accounting import SUMMARY_PAIRS, SUMMARY_SINGLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake

SHOP = "asos_uk"
MONTH = "2026-10"
_OCTOBER = Month.parse(MONTH)
_DAYS_BEFORE = 9
"""Orders begin so many days before the month, so that it opens with something."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a generated month is like.

    Attributes:
        tax_mode: TAX_INCLUDED, TAX_EXCLUDED (on top), or MIXED: half of the orders each.
        cycle_days: days of the month on which a payout cycle is closed.
        is_cut_at_midnight: cycles are closed at the shop's midnight to the microsecond, else ten minutes later in UTC.
        is_uneven: up to four units a line and refunds that come one by one, amounts that no quantity divides, a second tax
            code of either rule, commissions by the contract's rates, shipping refunded at times, every kind of fee, and what
            happens on the month's first and last microsecond; else amounts divide, and one unit a line comes back.
        seed: another one gives another month, whose ids are others, so that months of several seeds may stand in one lake.
    """

    month: Month = _OCTOBER
    currency: str = "GBP"
    time_zone: str = "Europe/London"
    tax_mode: str = "TAX_INCLUDED"
    cycle_days: tuple[int, ...] = (1, 11, 21)
    is_cut_at_midnight: bool = False
    is_uneven: bool = False
    seed: int = 0

    @property
    def seen_at(self) -> datetime:
        """When the data was last read: the cycle that closes with the month is there and paid."""
        return _utc(self.month.next(), 4) + timedelta(hours=12)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Start and end of the month by the shop's clock, in UTC; not by the product's own function."""
        return self._local(self.month, 1), self._local(self.month.next(), 1)

    @property
    def cycles(self) -> list[datetime]:
        """When each payout cycle was closed, from the last before the month's orders to when the data was read."""
        found = [
            self._local(month, day) if self.is_cut_at_midnight else _utc(month, day) + timedelta(minutes=10)
            for month in (self.month.previous(), self.month, self.month.next())
            for day in self.cycle_days
        ]
        return [at for at in found if self.opens_at < at < self.seen_at]

    @property
    def opens_at(self) -> datetime:
        """When the first order comes."""
        return _utc(self.month, 1) - timedelta(days=_DAYS_BEFORE)

    def _local(self, month: Month, day: int) -> datetime:
        return datetime.combine(month.first_day.replace(day=day), time(), ZoneInfo(self.time_zone)).astimezone(UTC)


def _utc(month: Month, day: int) -> datetime:
    return datetime.combine(month.first_day.replace(day=day), time(), UTC)


SEEN_AT = Shape().seen_at

# One row per order line, with every figure the other tables are made of. Amounts that divide by the quantity need no
# rounding for a unit's share; uneven ones do. The log books at debit and at payment of a refund.
_LINES = """
CREATE OR REPLACE TEMP TABLE gen_lines AS
WITH drawn AS (
    SELECT
        i,
        i * 5 // 8 AS order_no,
        i + $seed * 1000003 AS k,
        hash(i + $seed * 1000003) AS h,
        CASE
            WHEN $is_uneven THEN [1, 1, 1, 1, 2, 2, 3, 4][1 + CAST(hash(i + $seed * 1000003, 'quantity') % 8 AS INTEGER)]
            WHEN hash(i + $seed * 1000003, 'quantity') % 10 = 0 THEN 2
            ELSE 1
        END AS quantity,
        CASE
            -- Debited on the month's first and last microsecond, and on the first of the next.
            WHEN $is_uneven AND (i * 5 // 8) % 61 = 7 THEN $month_start - INTERVAL 1 HOUR
            WHEN $is_uneven AND (i * 5 // 8) % 61 = 8 THEN $month_end - INTERVAL 1 MICROSECOND - INTERVAL 1 HOUR
            WHEN $is_uneven AND (i * 5 // 8) % 61 = 9 THEN $month_end - INTERVAL 1 HOUR
            ELSE $opens_at + to_seconds(CAST((i * 5 // 8) * $step AS BIGINT))
        END AS created_at,
        $tax_mode = 'TAX_EXCLUDED' OR $tax_mode = 'MIXED' AND hash(i * 5 // 8, 'mode') % 2 = 0 AS is_on_top
    FROM range($lines) AS r (i)
),
priced AS (
    SELECT
        *,
        printf('%d-A', 700000000 + CAST($seed AS BIGINT) * 1000000 + order_no) AS order_id,
        printf('%d-A-%d', 700000000 + CAST($seed AS BIGINT) * 1000000 + order_no, i - ((order_no * 8 + 4) // 5) + 1) AS order_line_id,
        CASE
            WHEN $is_uneven THEN 100 * quantity + CAST(h % 9901 AS BIGINT) ELSE quantity * (500 + CAST(h % 9500 AS BIGINT))
        END AS price,
        CASE
            WHEN i <> (order_no * 8 + 4) // 5 THEN 0
            WHEN $is_uneven THEN greatest(CAST(hash(k, 'shipping') % 900 AS BIGINT) - 200, 0)
            ELSE quantity * 350
        END AS shipping,
        ['tops', 'outerwear', 'shoes'][1 + CAST(hash(k, 'category') % 3 AS INTEGER)] AS category
    FROM drawn
),
charged AS (
    SELECT
        *,
        CASE
            WHEN NOT $is_uneven THEN quantity * ((price // quantity) // CASE WHEN is_on_top THEN 5 ELSE 6 END)
            WHEN is_on_top THEN (2 * price + 5) // 10
            ELSE (price + 3) // 6
        END AS tax,
        CASE WHEN $is_uneven AND hash(k, 'eco') % 3 = 0 THEN price // 41 + 1 ELSE 0 END AS eco_tax,
        CASE
            WHEN NOT $is_uneven THEN quantity * ((shipping // quantity) // CASE WHEN is_on_top THEN 5 ELSE 6 END)
            WHEN is_on_top THEN (2 * shipping + 5) // 10
            ELSE (shipping + 3) // 6
        END AS shipping_tax,
        CASE
            WHEN $is_uneven THEN ((price + shipping) * CASE category WHEN 'tops' THEN 15 WHEN 'outerwear' THEN 18 ELSE 20 END + 50) // 100
            ELSE quantity * (((price + shipping) // quantity) * 15 // 100)
        END AS commission
    FROM priced
)
SELECT
    *,
    CASE
        WHEN $is_uneven THEN (commission + 2) // 5 ELSE quantity * (((price + shipping) // quantity) * 3 // 100)
    END AS commission_vat,
    created_at + INTERVAL 1 HOUR AS debited_at,
    created_at + INTERVAL 5 DAY AS received_at,
    created_at + INTERVAL 8 DAY AS requested_at,
    hash(k, 'returned') % 100 < 40 AND created_at + INTERVAL 8 DAY < $seen_at AS is_returned,
    $is_uneven AND hash(k, 'whole') % 5 = 0 AS is_shipping_refunded
FROM charged
"""

# What unit ``ordinal`` of ``quantity`` has of a total: half-even shares of the first so many units, less those before.
_SHARE = """
CREATE OR REPLACE TEMP MACRO gen_share(total, ordinal, quantity) AS
    CAST(round_even(total * ordinal / quantity, 0) - round_even(total * (ordinal - 1) / quantity, 0) AS BIGINT)
"""

# One row per unit that comes back, which is a refund of its own; a day and a quarter after the one before it.
_UNITS = """
CREATE OR REPLACE TEMP TABLE gen_units AS
WITH returned AS (
    SELECT
        *,
        unnest(range(1, CASE WHEN NOT $is_uneven THEN 2 WHEN is_shipping_refunded THEN quantity + 1 ELSE 2 + CAST(hash(k, 'units') % quantity AS INTEGER) END)) AS ordinal
    FROM gen_lines
    WHERE is_returned
),
shared AS (
    SELECT
        * REPLACE (requested_at + (ordinal - 1) * INTERVAL 30 HOUR AS requested_at),
        order_line_id || CASE WHEN ordinal > 1 THEN '-' || ordinal ELSE '' END AS unit_name,
        gen_share(price, ordinal, quantity) AS unit_price,
        CASE WHEN is_shipping_refunded THEN gen_share(shipping, ordinal, quantity) ELSE 0 END AS unit_shipping,
        gen_share(tax, ordinal, quantity) AS unit_tax,
        gen_share(eco_tax, ordinal, quantity) AS unit_eco_tax,
        CASE WHEN is_shipping_refunded THEN gen_share(shipping_tax, ordinal, quantity) ELSE 0 END AS unit_shipping_tax
    FROM returned
),
paid AS (
    SELECT
        *,
        CASE
            -- Paid on the month's last microsecond, or on the first of the next.
            WHEN $is_uneven AND h % 5 < 2 AND requested_at < $month_end AND requested_at + INTERVAL 2 DAY > $month_end
                THEN $month_end - CASE WHEN h % 5 = 0 THEN INTERVAL 1 MICROSECOND ELSE INTERVAL 0 SECOND END
            ELSE requested_at + INTERVAL 2 DAY
        END AS paid_at,
        -- Each refund gives the commission back by itself, rounded by itself.
        CASE
            WHEN $is_uneven THEN (2 * commission * (unit_price + unit_shipping) + price + shipping) // (2 * (price + shipping))
            ELSE unit_price * 15 // 100
        END AS credit
    FROM shared
    WHERE requested_at < $seen_at
)
SELECT *, CASE WHEN $is_uneven THEN (credit + 2) // 5 ELSE unit_price * 3 // 100 END AS credit_vat
FROM paid
"""

# A row per log line. Lines are numbered in the order they were booked in; only what they are booked for is sorted, a sixth as many rows.
_LOG = """
CREATE OR REPLACE TEMP TABLE gen_log AS
WITH booked AS (
    SELECT
        debited_at AS created_at, received_at AS payable_at, order_id, order_line_id, NULL AS refund_id, '' AS kind,
        -commission AS fee, -commission_vat AS fee_vat, price AS product, shipping,
        CASE WHEN is_on_top THEN tax + eco_tax ELSE 0 END AS product_tax,
        CASE WHEN is_on_top THEN shipping_tax ELSE 0 END AS shipping_tax,
        0 AS charge
    FROM gen_lines
    UNION ALL
    SELECT
        paid_at, greatest(paid_at, received_at), order_id, order_line_id, 'R' || unit_name, 'REFUND_',
        credit, credit_vat, -unit_price, -unit_shipping,
        CASE WHEN is_on_top THEN -unit_tax - unit_eco_tax ELSE 0 END,
        CASE WHEN is_on_top THEN -unit_shipping_tax ELSE 0 END,
        0
    FROM gen_units
    WHERE paid_at < $seen_at
    UNION ALL
    SELECT charged_at, charged_at, NULL, NULL, NULL, type, 0, 0, 0, 0, 0, 0, amount FROM gen_fees
),
numbered AS (
    SELECT
        *,
        sum((fee <> 0)::INT + (fee_vat <> 0)::INT + (product <> 0)::INT + (product_tax <> 0)::INT + (shipping <> 0)::INT + (shipping_tax <> 0)::INT + (charge <> 0)::INT)
            OVER (ORDER BY created_at, order_line_id, refund_id, kind ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM booked
),
-- Few cycles: each is held against what became payable since the one before it.
cycles AS (
    SELECT billing_cycle_id, cycle_at, lag(cycle_at, 1, '-infinity') OVER (ORDER BY cycle_at) AS since FROM gen_cycles
),
parted AS (
    SELECT
        n.created_at, n.payable_at, n.order_id, n.order_line_id, n.refund_id, n.before, c.billing_cycle_id, c.cycle_at,
        list_filter([
            {'type': kind || 'COMMISSION_FEE', 'amount': n.fee},
            {'type': kind || 'COMMISSION_VAT', 'amount': n.fee_vat},
            {'type': kind || 'ORDER_AMOUNT', 'amount': n.product},
            {'type': kind || 'ORDER_AMOUNT_TAX', 'amount': n.product_tax},
            {'type': kind || 'ORDER_SHIPPING_AMOUNT', 'amount': n.shipping},
            {'type': kind || 'ORDER_SHIPPING_AMOUNT_TAX', 'amount': n.shipping_tax},
            {'type': kind, 'amount': n.charge}
        ], lambda part: part.amount <> 0) AS parts
    FROM numbered AS n
    LEFT JOIN cycles AS c ON n.payable_at > c.since AND n.payable_at <= c.cycle_at
),
placed AS (
    SELECT * EXCLUDE (parts), unnest(parts) AS part, unnest(range(1, len(parts) + 1)) AS place FROM parted
)
SELECT
    printf('T%012d', CAST($seed AS BIGINT) * 1000000000 + CAST(coalesce(before, 0) AS BIGINT) + place) AS transaction_id,
    part.type AS transaction_type,
    CAST(part.amount AS BIGINT) AS amount_minor,
    order_id, order_line_id, refund_id, created_at, payable_at,
    billing_cycle_id,
    cycle_at
FROM placed
"""

_CORE = {
    "mirakl__orders": """
        SELECT order_id, order_id AS commercial_id, 'RECEIVED' AS order_state,
            CASE WHEN bool_or(is_on_top) THEN 'TAX_EXCLUDED' ELSE 'TAX_INCLUDED' END AS order_tax_mode, $currency AS currency,
            CAST(sum(price) AS BIGINT) AS price_minor, CAST(sum(shipping) AS BIGINT) AS shipping_price_minor,
            CAST(sum(price + shipping) AS BIGINT) AS total_price_minor, min(created_at) AS created_at, min(received_at) AS updated_at,
            min(debited_at) AS customer_debited_at
        FROM gen_lines GROUP BY order_id""",
    "mirakl__order_lines": """
        SELECT order_line_id, order_id, 'RECEIVED' AS line_state, 'SKU-' || h % 5000 AS offer_sku, quantity, $currency AS currency,
            price AS price_minor, shipping AS shipping_price_minor, price + shipping AS total_price_minor,
            commission AS commission_fee_minor, commission_vat AS commission_vat_minor, tax + eco_tax AS product_tax_minor,
            CASE WHEN $is_uneven THEN category END AS category_code,
            shipping_tax AS shipping_tax_minor, created_at, received_at AS updated_at, debited_at, received_at
        FROM gen_lines""",
    "mirakl__order_line_taxes": """
        SELECT order_line_id, order_id, 'product' AS tax_kind, 'VAT20' AS tax_code, $currency AS currency, tax AS amount_minor,
            'PROPORTIONAL_TO_AMOUNT' AS calculation_rule, received_at AS updated_at
        FROM gen_lines
        UNION ALL
        SELECT order_line_id, order_id, 'product', 'ECO', $currency, eco_tax,
            CASE WHEN h % 2 = 0 THEN 'NONE' ELSE 'PROPORTIONAL_TO_AMOUNT' END, received_at
        FROM gen_lines WHERE eco_tax > 0
        UNION ALL
        SELECT order_line_id, order_id, 'shipping', 'VAT20', $currency, shipping_tax, 'PROPORTIONAL_TO_AMOUNT', received_at
        FROM gen_lines WHERE shipping > 0""",
    "mirakl__refunds": """
        SELECT 'R' || unit_name AS refund_id, order_id, order_line_id,
            CASE WHEN paid_at < $seen_at THEN 'REFUNDED' ELSE 'WAITING_REFUND_PAYMENT' END AS refund_state,
            'REFUND_1' AS reason_code, 1 AS quantity, $currency AS currency, unit_price AS amount_minor,
            unit_shipping AS shipping_amount_minor, unit_tax + unit_eco_tax AS tax_minor, unit_shipping_tax AS shipping_tax_minor,
            credit AS commission_minor, credit_vat AS commission_vat_minor,
            requested_at AS created_at, CASE WHEN paid_at < $seen_at THEN paid_at END AS paid_at, requested_at AS updated_at
        FROM gen_units""",
    "mirakl__refund_taxes": """
        SELECT 'R' || unit_name AS refund_id, order_line_id, part.kind AS tax_kind, part.code AS tax_code, $currency AS currency,
            CAST(part.amount AS BIGINT) AS amount_minor, requested_at AS updated_at
        FROM (
            SELECT *, unnest([
                {'kind': 'product', 'code': 'VAT20', 'amount': unit_tax},
                {'kind': 'product', 'code': 'ECO', 'amount': CASE WHEN eco_tax > 0 THEN unit_eco_tax END},
                {'kind': 'shipping', 'code': 'VAT20', 'amount': CASE WHEN unit_shipping > 0 THEN unit_shipping_tax END}
            ]) AS part
            FROM gen_units
        )
        WHERE part.amount IS NOT NULL""",
    "mirakl__transactions": """
        SELECT transaction_id, transaction_type, CASE WHEN billing_cycle_id IS NULL THEN 'PENDING' ELSE 'PAID' END AS payment_state,
            $currency AS currency, amount_minor, order_id, order_line_id, refund_id, billing_cycle_id, created_at,
            coalesce(cycle_at, created_at) AS updated_at
        FROM gen_log""",
    "mirakl__returns": """
        SELECT 'RT' || order_line_id AS return_id, any_value(order_id) AS order_id, 'RECEIVED' AS return_state,
            any_value(created_at) + INTERVAL 5 DAY AS created_at, max(requested_at) AS updated_at
        FROM gen_units GROUP BY order_line_id""",
    "mirakl__return_lines": """
        SELECT 'RT' || order_line_id AS return_id, any_value(order_id) AS order_id, order_line_id, count(*) AS quantity,
            'RETURN_1' AS reason_code, max(requested_at) AS updated_at
        FROM gen_units GROUP BY order_line_id""",
    "return_unit_assignments": """
        SELECT 'RT' || order_line_id AS return_id, order_line_id, ordinal AS unit_no, ordinal, requested_at AS assigned_at
        FROM gen_units""",
    "peoplevox__returns": """
        SELECT 'C' || unit_name AS return_code, order_id AS sales_order_number, 'SKU-' || h % 5000 AS item_code, 1 AS row_no,
            1 AS quantity, 'New' AS return_condition, true AS is_reusable, requested_at - INTERVAL 2 HOUR AS returned_at
        FROM gen_units""",
    "receipt_assignments": """
        SELECT 'peoplevox:C' || unit_name || ':SKU-' || h % 5000 || ':1' AS receipt_event_id, 1 AS unit_no,
            order_line_id || '#' || ordinal AS return_unit_id, 'RT' || order_line_id AS return_id, 'item' AS matched_by, requested_at AS assigned_at
        FROM gen_units""",
    "mirakl__offers": """
        SELECT DISTINCT 'SKU-' || h % 5000 AS offer_sku, CAST(h % 5000 % 40 AS BIGINT) AS quantity, true AS is_active, $currency AS currency
        FROM gen_lines WHERE 'SKU-' || h % 5000 NOT IN (SELECT offer_sku FROM lake.core.mirakl__offers)""",
    "peoplevox__stock": """
        SELECT DISTINCT 'SKU-' || h % 5000 AS item_code, '*' AS site, CAST(h % 5000 % 40 AS BIGINT) AS available, true AS is_listed
        FROM gen_lines WHERE 'SKU-' || h % 5000 NOT IN (SELECT item_code FROM lake.core.peoplevox__stock)""",
    "reveni__returns": """
        SELECT 'V' || order_line_id AS platform_return_id, 'RT' || order_line_id AS external_id, any_value(order_id) AS order_id,
            'COMPLETED' AS status, $currency AS currency, any_value(created_at) + INTERVAL 5 DAY AS created_at, max(requested_at) AS updated_at
        FROM gen_units GROUP BY order_line_id""",
    "reveni__return_items": """
        SELECT 'V' || order_line_id AS platform_return_id, '1' AS item_id, order_line_id AS external_id, 'SKU-' || any_value(h) % 5000 AS sku,
            count(*) AS quantity, 'ACCEPTED' AS item_status, $currency AS currency, max(requested_at) AS updated_at
        FROM gen_units GROUP BY order_line_id""",
    "reveni__refunds": """
        SELECT 'VF' || order_line_id AS platform_refund_id, 'V' || order_line_id AS platform_return_id, $currency AS currency,
            CAST(sum(unit_price) AS BIGINT) AS amount_minor, 'EXECUTED' AS status, false AS is_advance, max(requested_at) AS updated_at
        FROM gen_units GROUP BY order_line_id""",
}

# What the marketplace states of each payout cycle, made from the log: ``gen_log`` has its lines.
_STATED = {
    "mirakl__transactions": """
        SELECT 'P' || billing_cycle_id AS transaction_id, 'PAYMENT' AS transaction_type, 'PAID' AS payment_state, $currency AS currency,
            CAST(-sum(amount_minor) AS BIGINT) AS amount_minor, billing_cycle_id,
            min(cycle_at) + INTERVAL 57 HOUR AS created_at, min(cycle_at) + INTERVAL 57 HOUR AS updated_at
        FROM gen_log WHERE cycle_at + INTERVAL 57 HOUR < $seen_at GROUP BY billing_cycle_id""",
    "mirakl__billing_cycles": """
        SELECT billing_cycle_id, min(cycle_at) AS created_at, $currency AS currency, CAST(sum(amount_minor) AS BIGINT) AS amount_to_seller_minor,
            CASE WHEN min(cycle_at) + INTERVAL 57 HOUR < $seen_at THEN 'PAID' ELSE 'TO_PAY' END AS pay_out_state,
            'PAYOUT-' || billing_cycle_id AS pay_out_reference
        FROM gen_log WHERE billing_cycle_id IS NOT NULL GROUP BY billing_cycle_id""",
    "mirakl__billing_cycle_totals": """
        SELECT l.billing_cycle_id, f.field, $currency AS currency, CAST(sum(l.amount_minor) AS BIGINT) AS amount_minor
        FROM gen_log AS l INNER JOIN gen_fields AS f ON f.type = l.transaction_type
        WHERE l.billing_cycle_id IS NOT NULL GROUP BY l.billing_cycle_id, f.field""",
    "mirakl__invoices": """
        SELECT 'invoice-' || billing_cycle_id AS document_id, 'AUTO_INVOICE' AS invoice_type, 'COMPLETE' AS invoice_state, billing_cycle_id,
            $currency AS currency, CAST(sum(amount_minor) AS BIGINT) AS amount_transferred_minor, 'PAID' AS payment_state,
            min(cycle_at) AS created_at
        FROM gen_log WHERE billing_cycle_id IS NOT NULL GROUP BY billing_cycle_id""",
}

_INTENTS = """
CREATE OR REPLACE TEMP TABLE gen_intents AS
SELECT
    'refund' AS kind, order_line_id || '#' || ordinal AS natural_key, 'I' || unit_name AS intent_id, 'CONFIRMED' AS state,
    order_id, order_line_id, 'RT' || order_line_id AS return_id, order_line_id || '#' || ordinal AS return_unit_id,
    CAST(unit_price + unit_shipping + CASE WHEN is_on_top THEN unit_tax + unit_eco_tax + unit_shipping_tax ELSE 0 END AS BIGINT) AS amount_minor,
    $currency AS currency, 'R' || unit_name AS external_ref,
    printf('{"refunds":[{"shipping_amount":"%s"}]}', CASE WHEN unit_shipping > 0 THEN '1.00' ELSE '0.00' END) AS body,
    '{"trigger":"inspected"}' AS evidence,
    requested_at - INTERVAL 1 MINUTE AS planned_at, requested_at AS sent_at, requested_at AS confirmed_at
FROM gen_units
"""

# (days after the first of the month, hour in UTC, transaction type, amount). What carries no VAT code of its own stands alone.
_FEES = (
    (0, 6, "SUBSCRIPTION_FEE", -2500),
    (0, 6, "SUBSCRIPTION_VAT", -500),
    (7, 10, "SELLER_PENALTY_FEE", -1000),
    (14, 15, "MANUAL_CREDIT", 1500),
)
_FEES_UNEVEN = (
    *_FEES,
    (3, 9, "MANUAL_CREDIT_VAT", 301),
    (5, 9, "MANUAL_INVOICE", -777),
    (5, 9, "MANUAL_INVOICE_VAT", -155),
    (7, 10, "SELLER_PENALTY_FEE_TAX", -199),
    (9, 11, "RESERVE_FUNDING", -4321),
    (9, 12, "INVOICEABLE_ONE_OFF_DEBIT", -113),
    (9, 12, "INVOICEABLE_ONE_OFF_CREDIT", 57),
    (12, 1, "OPERATOR_REMITTED_ORDER_AMOUNT_TAX", -641),
    (16, 2, "OPERATOR_REMITTED_REFUND_ORDER_AMOUNT_TAX", 641),
    (13, 1, "OPERATOR_PAID_ORDER_SHIPPING_AMOUNT", 499),
    (18, 4, "SELLER_FEE_ON_ORDER", -31),
    (18, 4, "SELLER_FEE_ON_ORDER_TAX", -6),
    (24, 11, "RESERVE_SETTLEMENT", 3000),
)


def generate(lake: Lake, con: DuckDBPyConnection, *, lines: int, shape: Shape | None = None) -> pa.Table:
    """Fill the lake's core tables with a clean month of ``lines`` order lines; return the intents (``INTENTS``)."""
    shape = shape or Shape()
    bound = _bound(shape) | {
        "lines": lines,
        # Orders are spread evenly from the first to the month's end.
        "step": (shape.month.last_day.day + _DAYS_BEFORE) * 86_400 / max(1, lines * 5 // 8),
    }
    fields = [
        (field, kind)
        for stem, (excl, incl) in SUMMARY_PAIRS.items()
        for field, kinds in ((f"{stem}_excl_tax", excl), (f"{stem}_incl_tax", (*excl, *incl)))
        for kind in kinds
    ] + [(field, kind) for field, kinds in SUMMARY_SINGLES.items() for kind in kinds]
    fees = _FEES_UNEVEN if shape.is_uneven else _FEES
    instants = pa.timestamp("us", tz="UTC")
    _keep(con, "gen_fields", pa.table({"field": [f for f, _ in fields], "type": [t for _, t in fields]}))
    mark = f"-{shape.seed}" if shape.seed else ""
    names = [f"cycle-{at:%Y-%m-%d}{mark}" for at in shape.cycles]
    _keep(con, "gen_cycles", pa.table({"cycle_at": pa.array(shape.cycles, instants), "billing_cycle_id": names}))
    charged = [_utc(shape.month, 1) + timedelta(days=days, hours=hours) for days, hours, _, _ in fees]
    types, amounts = [kind for _, _, kind, _ in fees], [amount for *_, amount in fees]
    _keep(con, "gen_fees", pa.table({"charged_at": pa.array(charged, instants), "type": types, "amount": amounts}))
    for made in (_SHARE, _LINES, _UNITS, _LOG, _INTENTS):
        run_query(con, made, bound)

    def fill(con: DuckDBPyConnection) -> None:
        for tables in (_CORE, _STATED):
            for name, query in tables.items():
                _insert(con, name, query, bound)
        bookings.remake(con, SHOP)

    lake.transact(con, "generate", "a synthetic month", fill)
    for name in ("gen_lines", "gen_units", "gen_log", "gen_fees"):
        con.execute(f"DROP TABLE {name}")
    return intents_of(con)


def restate(lake: Lake, con: DuckDBPyConnection, shape: Shape) -> None:
    """State every payout cycle anew from the log as it is now, as the marketplace would have, had it booked so."""

    def work(con: DuckDBPyConnection) -> None:
        con.execute(
            """CREATE OR REPLACE TEMP TABLE gen_log AS SELECT t.transaction_type, t.amount_minor, t.billing_cycle_id, c.cycle_at
            FROM lake.core.mirakl__transactions AS t LEFT JOIN gen_cycles AS c USING (billing_cycle_id)
            WHERE t.transaction_type <> 'PAYMENT'"""
        )
        con.execute("DELETE FROM lake.core.mirakl__transactions WHERE transaction_type = 'PAYMENT'")
        for name, query in _STATED.items():
            if name != "mirakl__transactions":
                con.execute(f"DELETE FROM lake.core.{name}")
            _insert(con, name, query, _bound(shape))
        bookings.remake(con, SHOP)
        con.execute("DROP TABLE gen_log")

    lake.transact(con, "generate", "statements anew", work)


def intents_of(con: DuckDBPyConnection) -> pa.Table:
    """Return the generated intents as they stand in the connection's table ``gen_intents``."""
    names = ", ".join(INTENTS.names)
    return con.execute(f"SELECT {names} FROM gen_intents ORDER BY intent_id").to_arrow_table().cast(INTENTS)


def core_tables() -> dict[str, tuple[str, ...]]:
    """Return the columns of every core table by name."""
    return {table.name: tuple(column.name for column in table.columns) for table in (*CORE_TABLES, *LAKE_TABLES)}


def _bound(shape: Shape) -> dict[str, Any]:
    start, end = shape.bounds
    return {
        "shop": SHOP,
        "currency": shape.currency,
        "tax_mode": shape.tax_mode,
        "is_uneven": shape.is_uneven,
        "seed": shape.seed,
        "opens_at": shape.opens_at,
        "month_start": start,
        "month_end": end,
        "seen_at": shape.seen_at,
    }


def _keep(con: DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    con.register("gen_rows", rows)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM gen_rows")
    con.unregister("gen_rows")


def _insert(con: DuckDBPyConnection, name: str, query: str, bound: dict[str, object]) -> None:
    lineage = {"payload_hash": "'generated'", "fetched_at": "$seen_at", "run_id": "'generate'"}
    columns = core_tables()[name]
    extra = "".join(f", {value} AS {column}" for column, value in lineage.items() if column in columns)
    run_query(con, f"INSERT INTO lake.core.{name} BY NAME SELECT $shop AS shop, *{extra} FROM ({query})", bound)
