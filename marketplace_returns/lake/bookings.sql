-- What the transaction log has booked on one order line (kind sale) or one refund, as of each quarter of an hour in which it
-- booked anything. Key: shop, kind, subject_id, currency, booked_from. Source: TL02, by quarter (booked.sql).
-- A row holds from booked_from until booked_until and adds up all that was booked so far, so that what is booked as of any
-- month end is one row per subject, whatever the shop's time zone: no month begins within a quarter of an hour.
-- A line that names no order line or refund is its own subject, of a kind apart.
-- Invariant: as of any month end the rows add up to the log's lines of the twelve types, but for NOT_APPLICABLE ones.
-- Few subjects are booked on in two quarters; only they are put in order.
WITH several AS (
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
