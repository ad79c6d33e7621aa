-- What the log's lines book on one subject in one quarter of an hour. Key: shop, kind, subject_id, currency, and the quarter.
-- Source: TL02, the lines in the view log_lines. See bookings.sql, which puts the quarters of a subject in order.
CREATE OR REPLACE TEMP TABLE booked AS
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
GROUP BY 1, 2, 3, 4, epoch_us(created_at) // 900_000_000;
