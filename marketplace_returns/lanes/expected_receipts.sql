-- One row per item of a return that the warehouse is to expect, or of the expected receipt it has. Key: (parcel_id, item_code).
-- A parcel is a marketplace return, or a return that only the platform knows (an exchange or replacement: return_id is null),
-- once it is old enough ($settled_before) not to be one whose link is still on its way; a second one under our key is none,
-- nor is a return of which a line is set aside.
-- wanted: units the return announces now; 0 where it was cancelled or never announced. announced: units on open lines of the
-- warehouse's purchase order; null where its lines were not read. lines: those lines, as {line, quantity, status}.
-- Source: model.return_cases, model.platform_returns, reported.items, model.order_lines, model.return_units, model.expected_receipts,
-- core.peoplevox__purchase_order_items.
WITH parcels AS (
    SELECT
        c.return_id AS parcel_id, c.return_id, c.order_id, c.created_at, c.payload_hash,
        c.return_state = 'IN_PROGRESS' AS is_wanted, c.is_void, c.is_ended, c.platform_received_at
    FROM model.return_cases AS c
    ANTI JOIN lake.landing.quarantine AS q
        ON q.shop = c.shop AND q.payload_hash = c.payload_hash AND q.table_name = 'mirakl__return_lines'
    WHERE c.shop = $shop
    UNION ALL
    SELECT
        p.platform_return_id, NULL, p.order_id, p.created_at, p.payload_hash,
        p.status IN ('approved', 'in_transit', 'at_hub'), p.status IN ('cancelled', 'rejected'),
        p.status IN ('cancelled', 'rejected', 'completed'), p.received_at
    FROM model.platform_returns AS p
    INNER JOIN model.orders AS o ON o.shop = p.shop AND o.order_id = p.order_id
    ANTI JOIN model.return_cases AS c ON c.shop = p.shop AND c.platform_return_id = p.platform_return_id
    ANTI JOIN model.return_cases AS k ON k.shop = p.shop AND k.return_id = p.external_id
    WHERE p.shop = $shop AND p.created_at <= $settled_before
),
announced_now AS (
    SELECT c.parcel_id, l.item_code, CAST(sum(rl.quantity) AS BIGINT) AS units
    FROM parcels AS c
    INNER JOIN lake.core.mirakl__return_lines AS rl ON rl.shop = $shop AND rl.return_id = c.return_id
    INNER JOIN model.order_lines AS l ON l.shop = rl.shop AND l.order_line_id = rl.order_line_id
    WHERE NOT c.is_void
    GROUP BY c.parcel_id, l.item_code
    UNION ALL
    SELECT c.parcel_id, coalesce(s.item_code, i.sku), CAST(sum(i.quantity) AS BIGINT)
    FROM parcels AS c
    INNER JOIN reported.items AS i ON i.shop = $shop AND i.platform_return_id = c.parcel_id
    LEFT JOIN mapping.skus AS s ON s.shop = i.shop AND s.offer_sku = i.sku
    WHERE c.return_id IS NULL AND NOT c.is_void
    GROUP BY c.parcel_id, coalesce(s.item_code, i.sku)
),
expected AS (
    SELECT c.parcel_id, p.*
    FROM parcels AS c
    INNER JOIN model.expected_receipts AS p ON p.shop = $shop AND p.purchase_order_number = 'RTN-' || c.parcel_id
),
lines AS (
    SELECT
        e.parcel_id, i.item_code,
        CAST(coalesce(sum(i.quantity) FILTER (lower(coalesce(i.status, 'pending')) <> 'closed'), 0) AS BIGINT) AS units,
        list({'line': i.line, 'quantity': i.quantity, 'status': coalesce(i.status, 'Pending')} ORDER BY length(i.line), i.line)
            AS lines
    FROM expected AS e
    INNER JOIN lake.core.peoplevox__purchase_order_items AS i
        ON i.shop = e.shop AND i.purchase_order_number = e.purchase_order_number
    GROUP BY e.parcel_id, i.item_code
),
items AS (
    SELECT parcel_id, item_code FROM announced_now
    UNION
    SELECT parcel_id, item_code FROM lines
),
inspected AS (
    SELECT u.return_id, count(*) AS units, count(u.inspected_at) AS inspected_units
    FROM model.return_units AS u
    WHERE u.shop = $shop
    GROUP BY u.return_id
)
SELECT
    c.parcel_id,
    c.return_id,
    c.order_id,
    c.created_at,
    c.payload_hash,
    c.is_wanted,
    c.is_void,
    c.is_ended,
    i.item_code,
    coalesce(n.units, 0) AS wanted,
    CASE WHEN k.parcel_id IS NOT NULL THEN coalesce(a.units, 0) END AS announced,
    coalesce(a.lines, []) AS lines,
    e.purchase_order_number,
    e.warehouse_status,
    coalesce(e.is_open, false) AS is_open,
    e.fetched_at AS seen_at,
    c.platform_received_at,
    coalesce(u.inspected_units, 0) AS inspected_units,
    coalesce(u.units, 0) AS units
FROM parcels AS c
INNER JOIN items AS i ON i.parcel_id = c.parcel_id
LEFT JOIN announced_now AS n ON n.parcel_id = i.parcel_id AND n.item_code = i.item_code
LEFT JOIN lines AS a ON a.parcel_id = i.parcel_id AND a.item_code = i.item_code
LEFT JOIN (SELECT DISTINCT parcel_id FROM lines) AS k ON k.parcel_id = c.parcel_id
LEFT JOIN expected AS e ON e.parcel_id = c.parcel_id
LEFT JOIN inspected AS u ON u.return_id = c.return_id
WHERE
    (c.is_wanted AND e.purchase_order_number IS NULL)
    OR e.is_open
    OR (NOT c.is_ended AND e.purchase_order_number IS NULL AND (u.inspected_units > 0 OR c.platform_received_at IS NOT NULL))
ORDER BY c.created_at, c.parcel_id, i.item_code;
