-- One row per outside code that was seen or is mapped, for the monthly review of the translation tables (R70, R33).
-- Key: (mapping_table, source_system, flow, source_code). state: unmapped (seen, not in the table), new (first seen within 31
-- days), used, future (its valid_from is to come), unused (in the table, never seen). example: an id to look it up by.
-- Source: the lake's reasons, dispositions, statuses, carriers and transaction types of the systems this shop uses.
WITH seen AS (
    SELECT
        'reasons' AS mapping_table, 'mirakl' AS source_system, f.flow, l.reason_code AS source_code,
        count(*) AS seen, min(r.created_at) AS first_at, max(r.created_at) AS last_at, min(r.return_id) AS example
    FROM lake.core.mirakl__return_lines AS l
    INNER JOIN lake.core.mirakl__returns AS r ON r.shop = l.shop AND r.return_id = l.return_id
    CROSS JOIN (VALUES ('create_return'), ('refund')) AS f (flow)
    WHERE l.shop = $shop AND l.reason_code IS NOT NULL
    GROUP BY ALL
    UNION ALL
    SELECT 'dispositions', source_system, '', source_code, count(*), min(inspected_at), max(inspected_at), min(order_id)
    FROM model.receipts WHERE shop = $shop GROUP BY ALL
    UNION ALL
    SELECT 'statuses', 'mirakl', '', return_state, count(*), min(created_at), max(created_at), min(return_id)
    FROM lake.core.mirakl__returns WHERE shop = $shop GROUP BY ALL
    UNION ALL
    SELECT 'statuses', platform, '', platform_status, count(*), min(created_at), max(updated_at), min(platform_return_id)
    FROM model.platform_returns WHERE shop = $shop GROUP BY ALL
    UNION ALL
    SELECT 'carriers', $warehouse, '', carrier, count(*), min(despatched_at), max(despatched_at), min(order_id)
    FROM model.despatches WHERE shop = $shop AND carrier IS NOT NULL GROUP BY ALL
    UNION ALL
    SELECT 'carriers', platform, '', carrier, count(*), min(created_at), max(updated_at), min(platform_return_id)
    FROM model.platform_returns WHERE shop = $shop AND carrier IS NOT NULL GROUP BY ALL
    UNION ALL
    SELECT 'transaction_types', 'mirakl', '', transaction_type, count(*), min(created_at), max(created_at), min(transaction_id)
    FROM lake.core.mirakl__transactions WHERE shop = $shop GROUP BY ALL
),
mapped AS (
    SELECT
        'reasons' AS mapping_table, source_system, flow, source_code, min(target_code) AS target,
        min(coalesce(valid_from, DATE '0001-01-01')) AS valid_from
    FROM mapping.reasons
    WHERE
        flow IN ('create_return', 'refund') AND source_code <> '*'
        AND (target_vocabulary = $platform OR target_vocabulary LIKE 'mirakl%')
    GROUP BY ALL
    UNION ALL
    SELECT 'dispositions', source_system, '', source_code, canonical, DATE '0001-01-01' FROM mapping.dispositions
    UNION ALL
    SELECT 'statuses', source_system, '', source_code, canonical, DATE '0001-01-01' FROM mapping.statuses
    UNION ALL
    SELECT 'carriers', source_system, '', source_code, carrier_code, DATE '0001-01-01' FROM mapping.carriers WHERE source_code <> '*'
    UNION ALL
    SELECT 'transaction_types', 'mirakl', '', type, component, DATE '0001-01-01' FROM mapping.transaction_types
)
SELECT
    coalesce(s.mapping_table, m.mapping_table) AS mapping_table,
    coalesce(s.source_system, m.source_system) AS source_system,
    coalesce(s.flow, m.flow) AS flow,
    coalesce(s.source_code, m.source_code) AS source_code,
    CASE
        WHEN m.source_code IS NULL THEN 'unmapped'
        WHEN m.valid_from > $today THEN 'future'
        WHEN s.source_code IS NULL THEN 'unused'
        WHEN s.first_at > $now - INTERVAL 31 DAY THEN 'new'
        ELSE 'used'
    END AS state,
    m.target,
    coalesce(s.seen, 0) AS seen,
    s.first_at AS first_seen_at,
    s.last_at AS last_seen_at,
    s.example
FROM seen AS s
FULL JOIN mapped AS m
    ON m.mapping_table = s.mapping_table AND m.source_system = s.source_system AND m.flow = s.flow
    AND lower(m.source_code) = lower(s.source_code)
WHERE coalesce(s.source_system, m.source_system) IN ('mirakl', $platform, $warehouse)
ORDER BY
    list_position(['unmapped', 'future', 'new', 'unused', 'used'], state), mapping_table, source_system, flow, source_code;
