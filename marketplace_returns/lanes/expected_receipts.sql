-- One row per line of an accepted, open return, with the item the warehouse is to expect, oldest first.
-- Returns whose purchase order the warehouse already shows are left out. Source: model.return_cases, model.order_lines.
SELECT
    c.return_id,
    c.order_id,
    c.created_at,
    c.payload_hash,
    rl.order_line_id,
    rl.quantity,
    l.item_code
FROM model.return_cases AS c
INNER JOIN lake.core.mirakl__return_lines AS rl ON rl.shop = c.shop AND rl.return_id = c.return_id
INNER JOIN model.order_lines AS l ON l.shop = rl.shop AND l.order_line_id = rl.order_line_id
ANTI JOIN lake.core.peoplevox__purchase_orders AS p
    ON p.shop = c.shop AND p.purchase_order_number = 'RTN-' || c.return_id
WHERE c.shop = $shop AND c.return_state = 'IN_PROGRESS'
ORDER BY c.created_at, c.return_id, rl.order_line_id;
