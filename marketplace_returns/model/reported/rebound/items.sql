-- One row per item of a ReBound return and what was found of its units. Source: core.rebound__return_items,
-- core.rebound__returns, core.rebound__tracking_events.
-- Where fewer units came than were announced, what did not come is a row of its own. Without a time of its own an item was
-- inspected when the parcel was opened, by its scans; failing those at the last scan, and at the latest when we read it.
WITH opened AS (
    SELECT t.shop, t.platform_return_id, min(t.occurred_at) AS opened_at
    FROM lake.core.rebound__tracking_events AS t
    INNER JOIN mapping.statuses AS s
        ON s.source_system = 'rebound' AND upper(s.source_code) = upper(t.status) AND s.canonical IN ('inspected', 'completed')
    GROUP BY t.shop, t.platform_return_id
),
items AS (
    SELECT
        i.*,
        CASE
            WHEN i.disposition IS NOT NULL THEN coalesce(i.inspected_at, o.opened_at, r.updated_at, i.fetched_at)
        END AS found_at,
        i.disposition IS NOT NULL AND i.received_quantity > 0 AND i.received_quantity < i.quantity AS is_short
    FROM lake.core.rebound__return_items AS i
    INNER JOIN lake.core.rebound__returns AS r ON r.shop = i.shop AND r.platform_return_id = i.platform_return_id
    LEFT JOIN opened AS o ON o.shop = i.shop AND o.platform_return_id = i.platform_return_id
)
SELECT
    shop,
    'rebound' AS platform,
    platform_return_id,
    item_id,
    order_line_id,
    sku,
    received_sku,
    CASE WHEN disposition IS NOT NULL AND received_quantity > 0 THEN received_quantity ELSE quantity END AS quantity,
    reason AS return_reason,
    CASE WHEN disposition IS NOT NULL AND received_quantity = 0 THEN 'missing' ELSE disposition END AS disposition_code,
    found_at AS inspected_at,
    false AS is_outcome_due,
    payload_hash
FROM items
UNION ALL
SELECT
    shop, 'rebound', platform_return_id, item_id || ':missing', order_line_id, sku, NULL, quantity - received_quantity,
    reason, 'missing', found_at, false, payload_hash
FROM items
WHERE is_short
