-- One row per open return whose refund clock runs: it is not ended and shows fewer refunds than units. Key: return_id.
-- clock_from: when the clock started by policy (model.refund_clock_from). Source: model.return_units.
WITH refunded AS (
    SELECT order_line_id, count(*) AS refunds
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop
    GROUP BY order_line_id
),
units AS (
    SELECT
        u.return_id,
        u.order_id,
        u.currency,
        u.unit_value_minor,
        model.refund_clock_from(
            $deadline_from, u.requested_at, u.shipped_at, u.platform_received_at, u.inspected_at
        ) AS clock_from,
        coalesce(r.refunds, 0) >= row_number() OVER (
            PARTITION BY u.order_line_id, coalesce(u.disposition, 'sellable') = 'sellable'
            ORDER BY u.inspected_at NULLS LAST, u.ordinal
        ) AS is_refunded,
        u.disposition
    FROM model.return_units AS u
    LEFT JOIN refunded AS r ON r.order_line_id = u.order_line_id
    WHERE u.shop = $shop AND NOT u.is_ended AND NOT u.is_over_quantity
)
SELECT
    return_id,
    order_id,
    min(clock_from) AS clock_from,
    min(currency) AS currency,
    CAST(sum(unit_value_minor) AS BIGINT) AS value_minor,
    count(*) FILTER (disposition IS NULL) AS uninspected_units
FROM units
WHERE clock_from IS NOT NULL AND NOT is_refunded AND coalesce(disposition, 'sellable') = 'sellable'
GROUP BY return_id, order_id
ORDER BY min(clock_from), return_id;
