-- One row per line of an order that waits for acceptance, oldest order first; none of an order of which a line is set aside, for
-- every line is decided in one call. Source: model.orders, model.order_lines, landing.quarantine.
SELECT
    o.order_id,
    o.created_at,
    o.currency,
    o.total_price_minor,
    o.payload_hash,
    l.order_line_id,
    l.item_code,
    l.quantity,
    s.available
FROM model.orders AS o
INNER JOIN model.order_lines AS l ON l.shop = o.shop AND l.order_id = o.order_id
LEFT JOIN model.warehouse_stock AS s ON s.shop = l.shop AND s.item_code = l.item_code
ANTI JOIN lake.landing.quarantine AS q
    ON q.shop = o.shop AND q.payload_hash = o.payload_hash AND q.table_name = 'mirakl__order_lines'
WHERE o.shop = $shop AND o.order_state = 'WAITING_ACCEPTANCE'
ORDER BY o.created_at, o.order_id, l.line_index, l.order_line_id;
