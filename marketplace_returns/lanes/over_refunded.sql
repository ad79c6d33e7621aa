-- One row per order line that was refunded more than once and for more than its returned units are worth. Key: order_line_id.
-- Somebody may have refunded by hand in the moment between our last look and our refund (R48). Amounts in the order's tax mode,
-- without shipping. Source: core.mirakl__refunds, model.return_units.
WITH refunded AS (
    SELECT
        order_id, order_line_id, any_value(currency) AS currency, count(*) AS refunds, CAST(sum(amount_minor) AS BIGINT) AS amount_minor,
        string_agg(refund_id, ', ' ORDER BY created_at, refund_id) AS refund_ids
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop
    GROUP BY order_id, order_line_id
    HAVING count(*) > 1
),
returned AS (
    SELECT order_line_id, count(*) AS units, CAST(sum(unit_value_minor) AS BIGINT) AS value_minor
    FROM model.return_units
    WHERE shop = $shop AND NOT is_over_quantity
    GROUP BY order_line_id
)
SELECT f.order_id, f.order_line_id, f.currency, f.refunds, f.refund_ids, f.amount_minor, u.units, u.value_minor
FROM refunded AS f
INNER JOIN returned AS u ON u.order_line_id = f.order_line_id
WHERE f.refunds > u.units AND f.amount_minor > u.value_minor
ORDER BY f.order_id, f.order_line_id;
