-- One row per line of an open return of the marketplace, oldest first, with what the platform and the mapping say of it.
-- None of a return of which a line is set aside: it would be created without it.
-- Source: model.return_cases, core.mirakl__return_lines, model.order_lines, mapping.reasons (flow create_return), landing.quarantine.
WITH reasons AS (
    SELECT source_code, target_code
    FROM mapping.reasons
    WHERE source_system = 'mirakl' AND flow = 'create_return' AND target_vocabulary = $platform AND coalesce(valid_from, DATE '0001-01-01') <= $today
    QUALIFY row_number() OVER (PARTITION BY source_code ORDER BY valid_from DESC NULLS LAST) = 1
),
announced AS (
    SELECT shop, return_id, order_line_id, max(ordinal) AS highest_ordinal
    FROM lake.core.return_unit_assignments
    WHERE shop = $shop
    GROUP BY shop, return_id, order_line_id
)
SELECT
    c.return_id,
    c.order_id,
    c.return_state,
    c.order_state,
    c.rma,
    c.label_url,
    c.created_at,
    c.platform_return_id,
    c.platform_label_url,
    c.platform_carrier,
    c.platform_tracking_number,
    k.carrier_code,
    c.payload_hash,
    rl.order_line_id,
    rl.quantity,
    rl.reason_code,
    l.offer_sku,
    l.line_state,
    l.quantity AS line_quantity,
    l.shipped_at,
    l.currency,
    l.price_minor,
    coalesce(a.highest_ordinal, 0) AS highest_ordinal,
    m.target_code AS platform_reason,
    f.target_code AS fallback_reason,
    (
        SELECT coalesce(sum(t.amount_minor), 0) FROM lake.core.mirakl__order_line_taxes AS t
        WHERE t.shop = c.shop AND t.order_line_id = rl.order_line_id AND t.tax_kind = 'product'
    ) AS tax_minor
FROM model.return_cases AS c
INNER JOIN lake.core.mirakl__return_lines AS rl ON rl.shop = c.shop AND rl.return_id = c.return_id
LEFT JOIN model.order_lines AS l ON l.shop = rl.shop AND l.order_line_id = rl.order_line_id
LEFT JOIN announced AS a ON a.return_id = c.return_id AND a.order_line_id = rl.order_line_id
LEFT JOIN mapping.carriers AS k
    ON k.source_system = $platform AND lower(k.source_code) = lower(c.platform_carrier)
LEFT JOIN reasons AS m ON m.source_code = rl.reason_code
LEFT JOIN reasons AS f ON f.source_code = '*'
ANTI JOIN lake.landing.quarantine AS q
    ON q.shop = c.shop AND q.payload_hash = c.payload_hash AND q.table_name = 'mirakl__return_lines'
WHERE c.shop = $shop AND c.return_state IN ('WAITING_ACCEPTANCE', 'IN_PROGRESS')
ORDER BY c.created_at, c.return_id, rl.order_line_id;
