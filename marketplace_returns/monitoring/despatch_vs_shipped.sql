-- One row per order line that the warehouse and the marketplace do not tell alike (R72, R92, R119): DESPATCHED_NOT_SHIPPED, it
-- left and its revenue is not confirmed; SHIPPED_NOT_DESPATCHED, revenue without a parcel. Key: order_line_id; oldest first.
-- owner: of the open exception that names the order, else warehouse for a parcel nobody knows of, operations otherwise.
-- value_minor: the units' share of the line. Source: model.despatches, OR11 lines, the ledger's open exceptions.
WITH despatched AS (
    SELECT order_line_id, CAST(sum(quantity) AS BIGINT) AS quantity, min(despatched_at) AS despatched_at,
        string_agg(DISTINCT carrier, ', ') AS carrier
    FROM model.despatches
    WHERE shop = $shop AND order_line_id IS NOT NULL
    GROUP BY ALL
),
parcelled AS (
    SELECT l.order_line_id, CAST(sum(l.quantity) AS BIGINT) AS quantity
    FROM lake.core.mirakl__shipment_lines AS l
    INNER JOIN lake.core.mirakl__shipments AS s ON s.shop = l.shop AND s.shipment_id = l.shipment_id
    WHERE l.shop = $shop AND s.shipped_at IS NOT NULL
    GROUP BY ALL
),
lines AS (
    SELECT
        l.order_id, l.order_line_id, l.line_state, l.currency, l.price_minor, l.quantity, l.shipped_at,
        coalesce(d.quantity, 0) AS despatched_quantity,
        CASE WHEN l.shipped_at IS NOT NULL THEN l.quantity ELSE coalesce(p.quantity, 0) END AS shipped_quantity,
        d.despatched_at,
        d.carrier,
        o.shipping_deadline_at
    FROM model.order_lines AS l
    INNER JOIN model.orders AS o ON o.shop = l.shop AND o.order_id = l.order_id
    LEFT JOIN despatched AS d ON d.order_line_id = l.order_line_id
    LEFT JOIN parcelled AS p ON p.order_line_id = l.order_line_id
    WHERE l.shop = $shop AND l.line_state NOT IN ('REFUSED', 'CANCELED') AND l.quantity > 0 AND $warehouse <> ''
),
cases AS (
    SELECT json_extract_string(entity, '$.order_id') AS order_id, min(type) AS type, min(owner) AS owner
    FROM ledger.cases
    WHERE shop = $shop AND resolved_at IS NULL AND (type LIKE 'DESPATCH_%' OR type LIKE 'WMS_%')
    GROUP BY ALL
)
SELECT
    CASE
        WHEN l.despatched_quantity > l.shipped_quantity THEN 'DESPATCHED_NOT_SHIPPED' ELSE 'SHIPPED_NOT_DESPATCHED'
    END AS state,
    l.order_id,
    l.order_line_id,
    l.despatched_quantity,
    l.shipped_quantity,
    l.currency,
    model.cumulative_share(l.price_minor, least(abs(l.despatched_quantity - l.shipped_quantity), l.quantity), l.quantity)
        AS value_minor,
    coalesce(CASE WHEN l.despatched_quantity > l.shipped_quantity THEN l.despatched_at END, l.shipped_at) AS since,
    date_diff('hour', coalesce(CASE WHEN l.despatched_quantity > l.shipped_quantity THEN l.despatched_at END, l.shipped_at), $now)
        AS age_hours,
    l.shipping_deadline_at,
    l.carrier,
    w.state AS write_state,
    c.type AS exception_type,
    coalesce(c.owner, CASE WHEN l.despatched_quantity > l.shipped_quantity THEN 'operations' ELSE 'warehouse' END) AS owner
FROM lines AS l
LEFT JOIN cases AS c ON c.order_id = l.order_id
LEFT JOIN (
    SELECT order_id, max_by(state, updated_at) AS state
    FROM ledger.writes WHERE shop = $shop AND kind = 'confirm_despatch' GROUP BY ALL
) AS w ON w.order_id = l.order_id
WHERE l.despatched_quantity <> l.shipped_quantity
    AND NOT (l.despatched_quantity > l.quantity AND l.shipped_quantity = l.quantity)
ORDER BY since, l.order_line_id;
