-- One row per line of an order that waits for acceptance, oldest order first. Source: model.orders, model.order_lines.
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
WHERE o.shop = $shop AND o.order_state = 'WAITING_ACCEPTANCE'
ORDER BY o.created_at, o.order_id, l.line_index, l.order_line_id;
