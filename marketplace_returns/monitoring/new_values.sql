-- One row per enumeration value that no table of ours knows, and per top-level field that a source began to send (R100, G14).
-- Key: (kind, source, place, value). Values are kept as they came; a value stays here until known_values.csv or a mapping names it,
-- a field for a week. Source: the lake's states and types, landing.payloads. seen: rows; example: an id to look it up by.
WITH found AS (
    SELECT 'mirakl' AS source, 'order_state' AS place, order_state AS value, order_id AS id, updated_at FROM lake.core.mirakl__orders WHERE shop = $shop
    UNION ALL
    SELECT 'mirakl', 'line_state', line_state, order_line_id, updated_at FROM lake.core.mirakl__order_lines WHERE shop = $shop
    UNION ALL
    SELECT 'mirakl', 'refund_state', refund_state, refund_id, updated_at FROM lake.core.mirakl__refunds WHERE shop = $shop
    UNION ALL
    SELECT 'mirakl', 'return_state', return_state, return_id, updated_at FROM lake.core.mirakl__returns WHERE shop = $shop
    UNION ALL
    SELECT 'mirakl', 'payment_state', payment_state, transaction_id, updated_at FROM lake.core.mirakl__transactions WHERE shop = $shop
    UNION ALL
    SELECT 'mirakl', 'pay_out_state', pay_out_state, billing_cycle_id, fetched_at FROM lake.core.mirakl__billing_cycles WHERE shop = $shop
    UNION ALL
    SELECT platform, 'return_status', lower(platform_status), platform_return_id, updated_at FROM model.platform_returns WHERE shop = $shop
),
known AS (
    SELECT source, place, value FROM watch.known_values
    UNION
    SELECT source_system, 'return_status', lower(source_code) FROM mapping.statuses WHERE source_system <> 'mirakl'
    UNION
    SELECT 'mirakl', 'return_state', source_code FROM mapping.statuses WHERE source_system = 'mirakl'
),
shows AS (
    SELECT source, object_type, object_id, fetched_at, unnest(json_keys(body)) AS field
    FROM lake.landing.payloads
    WHERE shop = $shop AND fetched_at > $new_after AND json_type(body) = 'OBJECT'
),
began AS (
    SELECT source, object_type, min(fetched_at) AS at FROM lake.landing.payloads WHERE shop = $shop GROUP BY ALL
),
baseline AS (
    SELECT DISTINCT p.source, p.object_type, unnest(json_keys(p.body)) AS field
    FROM lake.landing.payloads AS p
    INNER JOIN began AS b ON b.source = p.source AND b.object_type = p.object_type
    WHERE
        p.shop = $shop AND p.fetched_at > $new_after - INTERVAL 21 DAY
        AND p.fetched_at <= greatest(b.at + INTERVAL 1 DAY, $new_after) AND json_type(p.body) = 'OBJECT'
)
SELECT
    'value' AS kind, f.source, f.place, f.value, count(*) AS seen, min(f.updated_at) AS first_seen_at, min(f.id) AS example
FROM found AS f
LEFT JOIN known AS k ON k.source = f.source AND k.place = f.place AND k.value = f.value
WHERE k.value IS NULL AND f.value IS NOT NULL
GROUP BY ALL
UNION ALL
SELECT 'field', s.source, s.object_type, s.field, count(*), min(s.fetched_at), min(s.object_id)
FROM shows AS s
LEFT JOIN baseline AS b ON b.source = s.source AND b.object_type = s.object_type AND b.field = s.field
WHERE b.field IS NULL AND EXISTS (FROM baseline AS o WHERE o.source = s.source AND o.object_type = s.object_type)
GROUP BY ALL
ORDER BY kind DESC, source, place, value;
