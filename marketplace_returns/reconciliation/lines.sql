-- The shop's order lines, for all tables that need them. Key: order_line_id. Read once; of a long log a view, so that each table reads of
-- them what it needs.
-- Source: OR11 lines. is_on_top says whether the order's taxes come on top of its amounts (order_modes); sales_tax and shipping_tax
-- are the line's taxes where they do, else 0: from the line, or from its taxes (untold) where it landed before they were added up with it
-- or they cannot be.
CREATE OR REPLACE TABLE untold AS
SELECT
    t.order_line_id,
    CAST(coalesce(sum(t.amount_minor) FILTER (t.tax_kind = 'product'), 0) AS BIGINT) AS sales_tax_minor,
    CAST(coalesce(sum(t.amount_minor) FILTER (t.tax_kind = 'shipping'), 0) AS BIGINT) AS shipping_tax_minor
FROM lake.core.mirakl__order_line_taxes AS t
SEMI JOIN (
    SELECT order_line_id
    FROM lake.core.mirakl__order_lines
    WHERE shop = $shop AND (product_tax_minor IS NULL OR shipping_tax_minor IS NULL)
) AS l ON l.order_line_id = t.order_line_id
WHERE t.shop = $shop
GROUP BY t.order_line_id;
CREATE OR REPLACE TABLE lines AS
WITH modes AS (
    SELECT l.*, coalesce(o.is_on_top, (SELECT is_on_top FROM order_modes WHERE order_id IS NULL)) AS is_on_top
    FROM lake.core.mirakl__order_lines AS l
    LEFT JOIN order_modes AS o ON o.order_id = l.order_id
    WHERE l.shop = $shop
)
SELECT
    l.order_line_id,
    l.order_id,
    l.line_index,
    l.line_state IN ('REFUSED', 'CANCELED') AS is_void,
    l.line_state IN ('SHIPPING', 'TO_COLLECT') AS is_to_ship,
    l.offer_sku,
    l.category_code,
    l.quantity,
    l.currency,
    l.price_minor,
    l.shipping_price_minor,
    l.total_price_minor,
    CASE WHEN l.is_on_top THEN coalesce(l.product_tax_minor, t.sales_tax_minor, 0) ELSE 0 END AS sales_tax_minor,
    CASE WHEN l.is_on_top THEN coalesce(l.shipping_tax_minor, t.shipping_tax_minor, 0) ELSE 0 END AS shipping_tax_minor,
    l.commission_fee_minor,
    l.commission_vat_minor,
    l.is_on_top,
    l.created_at,
    l.debited_at,
    l.shipped_at
FROM modes AS l
LEFT JOIN untold AS t ON t.order_line_id = l.order_line_id;
