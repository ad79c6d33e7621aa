-- One row per week and who gave a reason: can the reasons be analysed (R34)? Key: (week, given_by); newest first.
-- given_by: customer (marketplace), or the warehouse with its site, whose codes show how consistently it inspects.
-- other: reasons that say nothing (their code names OTHER, or none at all); unmapped: reasons no row of reasons.csv (for the
-- warehouse: dispositions.csv) translates. distinct_codes: how many are in use.
WITH given AS (
    SELECT
        r.created_at AS given_at,
        'customer' AS given_by,
        l.reason_code AS code,
        l.reason_code IS NULL OR contains(upper(l.reason_code), 'OTHER') AS is_other,
        NOT EXISTS (
            SELECT 1 FROM mapping.reasons AS m
            WHERE m.source_system = 'mirakl' AND m.flow = 'refund' AND lower(m.source_code) = lower(l.reason_code)
        ) AS is_unmapped
    FROM lake.core.mirakl__return_lines AS l
    INNER JOIN lake.core.mirakl__returns AS r ON r.shop = l.shop AND r.return_id = l.return_id
    WHERE l.shop = $shop AND r.created_at >= $weeks_from
    UNION ALL
    SELECT
        p.returned_at,
        'warehouse ' || coalesce(p.site, ''),
        coalesce(p.return_reason, p.return_condition),
        coalesce(p.return_reason, p.return_condition) IS NULL OR contains(upper(coalesce(p.return_reason, p.return_condition)), 'OTHER'),
        NOT EXISTS (
            SELECT 1 FROM mapping.dispositions AS d
            WHERE
                d.source_system = 'peoplevox'
                AND lower(d.source_code) = lower(coalesce(p.return_condition, '')) || '|' || lower(CAST(p.is_reusable AS VARCHAR))
        )
    FROM lake.core.peoplevox__returns AS p
    WHERE p.shop = $shop AND p.returned_at >= $weeks_from
)
SELECT
    CAST(date_trunc('week', timezone($time_zone, given_at)) AS DATE) AS week,
    given_by,
    count(*) AS reasons,
    count(DISTINCT code) AS distinct_codes,
    count(*) FILTER (is_other) AS other,
    CAST(round(100 * count(*) FILTER (is_other) / count(*), 1) AS DECIMAL(5, 1)) AS other_percent,
    count(*) FILTER (is_unmapped) AS unmapped,
    CAST(round(100 * count(*) FILTER (is_unmapped) / count(*), 1) AS DECIMAL(5, 1)) AS unmapped_percent,
    mode(code) AS most_frequent
FROM given
GROUP BY ALL
ORDER BY week DESC, given_by;
