-- The shop's refunds, read once for all tables that need them. Key: refund_id. Source: OR11 refunds.
-- tax is what comes on top of the amounts, 0 where taxes lie inside them (order_modes); quantity is at least 1.
CREATE OR REPLACE TABLE refunds AS
WITH modes AS (
    SELECT r.*, coalesce(o.is_on_top, (SELECT is_on_top FROM order_modes WHERE order_id IS NULL)) AS is_on_top
    FROM lake.core.mirakl__refunds AS r
    LEFT JOIN order_modes AS o ON o.order_id = r.order_id
    WHERE r.shop = $shop
)
SELECT
    refund_id,
    currency,
    order_id,
    order_line_id,
    greatest(coalesce(quantity, 1), 1) AS quantity,
    amount_minor,
    shipping_amount_minor,
    CASE WHEN is_on_top THEN tax_minor + shipping_tax_minor ELSE 0 END AS tax_minor,
    commission_minor,
    commission_vat_minor,
    is_on_top,
    created_at,
    paid_at
FROM modes;
