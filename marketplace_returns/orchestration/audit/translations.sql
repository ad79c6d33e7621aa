-- One row per gap between the mapping tables and the lists they translate from and into (R10, R70, R71, R116).
-- Key: (problem, subject). Columns: problem (a code translations.py puts into words), subject, detail.
-- Source: RE01 and SH21 as they were read last, mapping.*, and what monitoring/mapping_review.sql saw ($review rows staged as
-- watch.mapping_review). Invariant: a list that was never read gives no row.
WITH reasons AS (
    SELECT reason_type, code, label, coalesce(is_shop_right, true) AS is_shop_right
    FROM lake.core.mirakl__reasons
    WHERE shop = $shop
),
current_reasons AS (
    SELECT source_system, source_code, flow, target_vocabulary, target_code
    FROM mapping.reasons
    WHERE coalesce(valid_from, DATE '0001-01-01') <= $today
),
to_translate AS (
    SELECT r.code, r.label, w.flow, w.target_vocabulary
    FROM reasons AS r
    INNER JOIN (
        VALUES
        ('RETURN', 'create_return', $platform), ('RETURN', 'refund', 'mirakl_refund'),
        ('INCIDENT_OPEN', 'resolve_incident', 'mirakl_incident_close')
    ) AS w (reason_type, flow, target_vocabulary) ON w.reason_type = r.reason_type
),
targets AS (
    SELECT m.source_system, m.source_code, m.flow, m.target_vocabulary, m.target_code, w.reason_type
    FROM current_reasons AS m
    INNER JOIN (
        VALUES
        ('mirakl_refund', 'REFUND'), ('mirakl_non_compliant', 'RETURN_NON_COMPLIANT'), ('mirakl_incident_close', 'INCIDENT_CLOSE')
    ) AS w (target_vocabulary, reason_type) ON w.target_vocabulary = m.target_vocabulary
    WHERE
        m.source_system IN ('mirakl', $platform, $warehouse)
        AND EXISTS (SELECT 1 FROM reasons AS r WHERE r.reason_type = w.reason_type)
),
verdicts AS (
    SELECT DISTINCT d.source_system, d.canonical, v.target_vocabulary
    FROM mapping.dispositions AS d
    CROSS JOIN (VALUES ('mirakl_non_compliant'), ($platform)) AS v (target_vocabulary)
    WHERE
        d.canonical <> 'sellable'
        AND d.source_system = $inspector
        AND (v.target_vocabulary <> $platform OR $needs_reject_reasons)
)
SELECT 'reason_unmapped' AS problem, t.flow || ' ' || t.code AS subject, coalesce(t.label, '') || '|' || t.target_vocabulary AS detail
FROM to_translate AS t
WHERE NOT EXISTS (
    SELECT 1 FROM current_reasons AS m
    WHERE
        m.source_system = 'mirakl' AND m.flow = t.flow AND m.target_vocabulary = t.target_vocabulary
        AND lower(m.source_code) = lower(t.code)
)
UNION ALL
SELECT 'target_unknown', target_vocabulary || ' ' || target_code,
    string_agg(DISTINCT source_system || ' ' || source_code, ', ' ORDER BY source_system || ' ' || source_code)
FROM targets AS t
WHERE NOT EXISTS (SELECT 1 FROM reasons AS r WHERE r.reason_type = t.reason_type AND r.code = t.target_code)
GROUP BY target_vocabulary, target_code
UNION ALL
SELECT 'target_not_sellers', t.target_vocabulary || ' ' || t.target_code, string_agg(DISTINCT t.source_code, ', ' ORDER BY t.source_code)
FROM targets AS t
INNER JOIN reasons AS r ON r.reason_type = t.reason_type AND r.code = t.target_code AND NOT r.is_shop_right
GROUP BY ALL
UNION ALL
SELECT 'carrier_unknown', c.carrier_code, string_agg(c.source_system || ' ' || c.source_code, ', ' ORDER BY c.source_system, c.source_code)
FROM mapping.carriers AS c
WHERE
    c.source_system IN ($platform, $warehouse)
    AND EXISTS (SELECT 1 FROM lake.core.mirakl__carriers WHERE shop = $shop)
    AND NOT EXISTS (SELECT 1 FROM lake.core.mirakl__carriers AS k WHERE k.shop = $shop AND k.code = c.carrier_code)
GROUP BY ALL
UNION ALL
SELECT 'carrier_untargeted', 'carriers.csv', string_agg(k.code, ', ' ORDER BY k.code)
FROM lake.core.mirakl__carriers AS k
WHERE k.shop = $shop AND NOT EXISTS (SELECT 1 FROM mapping.carriers AS c WHERE c.carrier_code = k.code)
HAVING count(*) > 0
UNION ALL
SELECT 'verdict_unmapped', v.source_system || ' ' || v.canonical, v.target_vocabulary
FROM verdicts AS v
WHERE NOT EXISTS (
    SELECT 1 FROM current_reasons AS m
    WHERE
        m.flow = 'report_compliance' AND m.source_system = v.source_system AND m.source_code = v.canonical
        AND m.target_vocabulary = v.target_vocabulary
)
UNION ALL
SELECT 'table_empty', t.table_name, t.system
FROM (VALUES
    ('dispositions.csv', $inspector), ('statuses.csv', $platform)
) AS t (table_name, system)
WHERE NOT EXISTS (
    SELECT 1 FROM mapping.dispositions AS d WHERE t.table_name = 'dispositions.csv' AND d.source_system = t.system
    UNION ALL
    SELECT 1 FROM mapping.statuses AS s WHERE t.table_name = 'statuses.csv' AND s.source_system = t.system
)
UNION ALL
SELECT 'rate_missing', 'commission_rates.csv', ''
WHERE NOT EXISTS (SELECT 1 FROM mapping.commission_rates WHERE shop = $shop AND valid_from <= $today)
UNION ALL
SELECT 'valid_later', m.flow || ' ' || m.source_code, CAST(min(m.valid_from) AS VARCHAR)
FROM mapping.reasons AS m
WHERE m.valid_from > $today AND m.source_system IN ('mirakl', $platform, $warehouse)
    AND NOT EXISTS (
        SELECT 1 FROM current_reasons AS c
        WHERE
            c.source_system = m.source_system AND c.flow = m.flow AND c.target_vocabulary = m.target_vocabulary
            AND lower(c.source_code) = lower(m.source_code)
    )
GROUP BY m.flow, m.source_code
UNION ALL
SELECT 'seen_unmapped', mapping_table || ' ' || source_system || ' ' || flow || ' ' || source_code, seen || '|' || coalesce(example, '')
FROM watch.mapping_review
WHERE state = 'unmapped'
UNION ALL
SELECT 'unused', mapping_table || '.csv', count(*) || '|' || array_to_string(list_slice(list(source_code ORDER BY source_code), 1, 5), ', ')
FROM watch.mapping_review
WHERE state = 'unused'
GROUP BY mapping_table
ORDER BY problem, subject;
