-- What the transaction log has booked on one order line (kind sale) or one refund, as of each quarter of an hour in which it
-- booked anything. Key: shop, kind, subject_id, currency, booked_from. Source: TL02, the lines in the view log_lines.
-- A row holds from booked_from until booked_until and adds up all that was booked so far, so that what is booked as of any
-- month end is one row per subject, whatever the shop's time zone: no month begins within a quarter of an hour.
-- A line that names no order line or refund is its own subject, of a kind apart.
-- Invariant: as of any month end the rows add up to the log's lines of the twelve types, but for NOT_APPLICABLE ones.
WITH booked AS (
    SELECT
        shop,
        booked_kind(transaction_type, order_line_id, refund_id) AS kind,
        booked_subject(transaction_type, order_line_id, refund_id, transaction_id) AS subject_id,
        currency,
        min(created_at) AS booked_from,
        max(order_id) AS order_id,
        max(order_line_id) AS order_line_id,
        CAST(coalesce(sum(amount_minor) FILTER (transaction_type IN ('ORDER_AMOUNT', 'REFUND_ORDER_AMOUNT')), 0) AS BIGINT) AS product_minor,
        CAST(coalesce(sum(amount_minor) FILTER (transaction_type IN ('ORDER_SHIPPING_AMOUNT', 'REFUND_ORDER_SHIPPING_AMOUNT')), 0) AS BIGINT) AS shipping_minor,
        CAST(coalesce(sum(amount_minor) FILTER (transaction_type IN ('ORDER_AMOUNT_TAX', 'REFUND_ORDER_AMOUNT_TAX')), 0) AS BIGINT) AS product_tax_minor,
        CAST(coalesce(sum(amount_minor) FILTER (transaction_type IN ('ORDER_SHIPPING_AMOUNT_TAX', 'REFUND_ORDER_SHIPPING_AMOUNT_TAX')), 0) AS BIGINT) AS shipping_tax_minor,
        CAST(coalesce(sum(amount_minor) FILTER (transaction_type IN ('COMMISSION_FEE', 'REFUND_COMMISSION_FEE')), 0) AS BIGINT) AS commission_minor,
        CAST(coalesce(sum(amount_minor) FILTER (transaction_type IN ('COMMISSION_VAT', 'REFUND_COMMISSION_VAT')), 0) AS BIGINT) AS commission_vat_minor,
        bool_or(NOT contains(transaction_type, 'COMMISSION')) AS has_amounts,
        -- Of a sale nobody asks for the cycle: kept, every payout would write every sale anew.
        max(billing_cycle_id) FILTER (transaction_type LIKE 'REFUND_ORDER%') AS billing_cycle_id,
        count(*) AS lines
    FROM log_lines
    WHERE is_booked(transaction_type, payment_state)
    GROUP BY 1, 2, 3, 4, epoch_us(created_at) // 900_000_000
),
-- Few subjects are booked on twice; only they are put in order.
several AS (
    SELECT shop, kind, subject_id, currency
    FROM booked
    GROUP BY ALL
    HAVING count(*) > 1
)
SELECT *, CAST(NULL AS TIMESTAMPTZ) AS booked_until, true AS is_first
FROM booked
ANTI JOIN several USING (shop, kind, subject_id, currency)
UNION ALL BY NAME
SELECT
    shop,
    kind,
    subject_id,
    currency,
    booked_from,
    lead(booked_from) OVER in_order AS booked_until,
    lag(booked_from) OVER in_order IS NULL AS is_first,
    max(order_id) OVER so_far AS order_id,
    max(order_line_id) OVER so_far AS order_line_id,
    CAST(sum(product_minor) OVER so_far AS BIGINT) AS product_minor,
    CAST(sum(shipping_minor) OVER so_far AS BIGINT) AS shipping_minor,
    CAST(sum(product_tax_minor) OVER so_far AS BIGINT) AS product_tax_minor,
    CAST(sum(shipping_tax_minor) OVER so_far AS BIGINT) AS shipping_tax_minor,
    CAST(sum(commission_minor) OVER so_far AS BIGINT) AS commission_minor,
    CAST(sum(commission_vat_minor) OVER so_far AS BIGINT) AS commission_vat_minor,
    bool_or(has_amounts) OVER so_far AS has_amounts,
    max(billing_cycle_id) OVER so_far AS billing_cycle_id,
    CAST(sum(lines) OVER so_far AS BIGINT) AS lines
FROM booked
SEMI JOIN several USING (shop, kind, subject_id, currency)
WINDOW
    in_order AS (PARTITION BY shop, kind, subject_id, currency ORDER BY booked_from),
    so_far AS (PARTITION BY shop, kind, subject_id, currency ORDER BY booked_from ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
