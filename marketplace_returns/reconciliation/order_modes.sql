-- Whether taxes of an order come on top of its amounts (TAX_EXCLUDED) or lie inside them. Key: order_id.
-- One row without an order id says what is usual in the shop, and each order that differs from it has a row of its own,
-- so that a shop with one mode joins nothing. Source: OR11.
CREATE OR REPLACE TABLE order_modes AS
WITH orders AS MATERIALIZED (
    SELECT order_id, order_tax_mode = 'TAX_EXCLUDED' AS is_on_top FROM lake.core.mirakl__orders WHERE shop = $shop
),
counted AS (
    SELECT is_on_top, count(*) AS orders FROM orders GROUP BY is_on_top
),
usual AS (
    SELECT coalesce(arg_max(is_on_top, orders), false) AS is_on_top FROM counted
)
SELECT CAST(NULL AS VARCHAR) AS order_id, is_on_top FROM usual
UNION ALL
SELECT order_id, is_on_top
FROM orders
WHERE is_on_top <> (SELECT is_on_top FROM usual);
