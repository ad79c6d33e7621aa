-- Order lines, refunds and payout cycles of earlier months that the last signed month did not know, or knew with other figures: this month
-- looks at them again (R111). Key: reference, as in aged_unmatched. Source: OR11 and SBC11 as they are, beside what the signed month saw
-- (version $locked_version of the lake). Only what was read since $locked_at can differ.
CREATE OR REPLACE TABLE late_documents AS
WITH lines_since AS (
    SELECT order_line_id AS reference, price_minor, shipping_price_minor, product_tax_minor, shipping_tax_minor, commission_fee_minor, commission_vat_minor, debited_at
    FROM lake.core.mirakl__order_lines
    WHERE shop = $shop AND fetched_at >= $locked_at AND debited_at < $month_start
),
lines_then AS (
    SELECT l.order_line_id AS reference, l.price_minor, l.shipping_price_minor, l.product_tax_minor, l.shipping_tax_minor, l.commission_fee_minor, l.commission_vat_minor, l.debited_at
    FROM (SELECT * FROM lake.core.mirakl__order_lines AT (VERSION => $locked_version)) AS l
    SEMI JOIN lines_since AS s ON s.reference = l.order_line_id
    WHERE l.shop = $shop
),
refunds_since AS (
    SELECT refund_id, amount_minor, shipping_amount_minor, tax_minor, shipping_tax_minor, commission_minor, commission_vat_minor, created_at, paid_at
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop AND fetched_at >= $locked_at AND created_at < $month_start AND paid_at < $month_start
),
refunds_then AS (
    SELECT r.refund_id, r.amount_minor, r.shipping_amount_minor, r.tax_minor, r.shipping_tax_minor, r.commission_minor, r.commission_vat_minor, r.created_at, r.paid_at
    FROM (SELECT * FROM lake.core.mirakl__refunds AT (VERSION => $locked_version)) AS r
    SEMI JOIN refunds_since AS s ON s.refund_id = r.refund_id
    WHERE r.shop = $shop
),
cycles_since AS (
    SELECT billing_cycle_id AS reference, amount_to_seller_minor, pay_out_state = 'FAILED' AS is_failed, created_at
    FROM lake.core.mirakl__billing_cycles
    WHERE shop = $shop AND fetched_at >= $locked_at AND created_at < $month_start
),
cycles_then AS (
    SELECT c.billing_cycle_id AS reference, c.amount_to_seller_minor, c.pay_out_state = 'FAILED' AS is_failed, c.created_at
    FROM (SELECT * FROM lake.core.mirakl__billing_cycles AT (VERSION => $locked_version)) AS c
    WHERE c.shop = $shop
),
differing AS (
    SELECT 'line' AS subject, reference, debited_at AS since
    FROM (FROM lines_since EXCEPT FROM lines_then)
    UNION ALL
    SELECT 'refund', 'refund:' || refund_id, created_at
    FROM (FROM refunds_since EXCEPT FROM refunds_then)
    UNION ALL
    SELECT 'cycle', reference, created_at
    FROM (FROM cycles_since EXCEPT FROM cycles_then)
)
SELECT
    *,
    CASE subject
        WHEN 'refund' THEN reference NOT IN (SELECT 'refund:' || refund_id FROM refunds_then)
        WHEN 'line' THEN reference NOT IN (SELECT reference FROM lines_then)
        ELSE reference NOT IN (SELECT reference FROM cycles_then)
    END AS is_new
FROM differing;
