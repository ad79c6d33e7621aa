-- One row per line of a return that is not ended. Key: (return_id, order_line_id).
-- Units counted by what came of them; refunds counted as the marketplace shows them on the line.
-- Source: model.return_units, model.return_cases, core.mirakl__return_lines, core.mirakl__refunds, reported.items.
-- outcome_items: the platform's items of the line that wait for an outcome, with their units, in order of their ids.
WITH units AS (
    SELECT
        u.return_id,
        u.order_line_id,
        count(*) AS units,
        count(u.inspected_at) AS inspected_units,
        count(*) FILTER (u.disposition = 'sellable') AS accepted_units,
        count(*) FILTER (u.inspected_at IS NOT NULL AND u.disposition IS NULL) AS unmapped_units,
        min(u.disposition) FILTER (u.disposition <> 'sellable') AS worst_disposition,
        min(u.receipt_source) AS receipt_source,
        min(u.inspected_at) AS first_inspected_at,
        max(u.inspected_at) AS last_inspected_at,
        list(DISTINCT u.receipt_payload_hash ORDER BY u.receipt_payload_hash) FILTER (u.receipt_payload_hash IS NOT NULL)
            AS receipt_payloads
    FROM model.return_units AS u
    WHERE u.shop = $shop AND NOT u.is_ended
    GROUP BY u.return_id, u.order_line_id
),
refunded AS (
    SELECT order_line_id, count(*) AS refunds, list(refund_id ORDER BY refund_id) AS refund_ids
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop
    GROUP BY order_line_id
),
accepted_on_line AS (
    SELECT u.order_line_id, count(*) FILTER (u.disposition = 'sellable') AS units
    FROM model.return_units AS u
    WHERE u.shop = $shop
    GROUP BY u.order_line_id
),
lines AS (
    SELECT
        rl.return_id, rl.order_line_id, rl.compliance, l.offer_sku,
        row_number() OVER (PARTITION BY rl.return_id, l.offer_sku ORDER BY rl.order_line_id) AS place
    FROM lake.core.mirakl__return_lines AS rl
    INNER JOIN model.order_lines AS l ON l.shop = rl.shop AND l.order_line_id = rl.order_line_id
    WHERE rl.shop = $shop
    UNION ALL
    -- A return the marketplace does not have: its lines are those its units were given.
    SELECT
        u.return_id, u.order_line_id, NULL AS compliance, any_value(u.offer_sku),
        row_number() OVER (PARTITION BY u.return_id, any_value(u.offer_sku) ORDER BY u.order_line_id)
    FROM model.return_units AS u
    WHERE u.shop = $shop AND u.return_state IS NULL
    GROUP BY u.return_id, u.order_line_id
),
-- An item without our key of the line is met by its SKU: as many lines as items of one SKU, each in order.
items AS (
    SELECT
        i.platform_return_id, i.item_id, i.is_outcome_due, i.quantity, i.order_line_id, i.sku,
        row_number() OVER (PARTITION BY i.platform_return_id, i.sku ORDER BY i.item_id) AS place
    FROM reported.items AS i
    WHERE i.shop = $shop
),
line_items AS (
    SELECT
        c.return_id,
        n.order_line_id,
        list({'item_id': i.item_id, 'quantity': i.quantity} ORDER BY i.item_id) FILTER (i.is_outcome_due) AS outcome_items
    FROM model.return_cases AS c
    INNER JOIN lines AS n ON n.return_id = c.return_id
    INNER JOIN items AS i
        ON i.platform_return_id = c.platform_return_id
        AND (i.order_line_id = n.order_line_id OR (i.order_line_id IS NULL AND i.sku = n.offer_sku AND i.place = n.place))
    WHERE c.shop = $shop AND NOT c.is_ended
    GROUP BY c.return_id, n.order_line_id
)
SELECT
    c.return_id,
    c.order_id,
    c.return_state,
    c.platform_return_id,
    c.status AS platform_status,
    c.platform_received_at,
    n.order_line_id,
    n.compliance,
    n.offer_sku,
    u.units,
    u.inspected_units,
    u.accepted_units,
    u.unmapped_units,
    u.worst_disposition,
    u.receipt_source,
    u.first_inspected_at,
    u.last_inspected_at,
    u.receipt_payloads,
    coalesce(r.refunds, 0) >= a.units AS is_refunded,
    coalesce(r.refund_ids, []) AS refund_ids,
    coalesce(i.outcome_items, []) AS outcome_items
FROM model.return_cases AS c
INNER JOIN lines AS n ON n.return_id = c.return_id
INNER JOIN units AS u ON u.return_id = c.return_id AND u.order_line_id = n.order_line_id
LEFT JOIN accepted_on_line AS a ON a.order_line_id = n.order_line_id
LEFT JOIN refunded AS r ON r.order_line_id = n.order_line_id
LEFT JOIN line_items AS i ON i.return_id = c.return_id AND i.order_line_id = n.order_line_id
WHERE c.shop = $shop AND NOT c.is_ended
ORDER BY c.created_at, c.return_id, n.order_line_id;
