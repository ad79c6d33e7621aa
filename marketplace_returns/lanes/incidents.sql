-- One row per order line with an open incident, and per line whose money went back while its return is still on its way.
-- Key: order_line_id. Source: model.order_lines, model.return_units, core.mirakl__refunds, mapping.reasons (resolve_incident).
-- is_return_done: every return of the line has ended, here or on the platform, and at least one was not refused or cancelled.
-- ended_at: when the last of them did. accepted_units: units inspected as sellable; refunds: as the marketplace shows them.
WITH reasons AS (
    SELECT source_code, target_code
    FROM mapping.reasons
    WHERE
        source_system = 'mirakl' AND flow = 'resolve_incident' AND target_vocabulary = 'mirakl_incident_close'
        AND coalesce(valid_from, DATE '0001-01-01') <= $today
    QUALIFY row_number() OVER (PARTITION BY source_code ORDER BY valid_from DESC NULLS LAST) = 1
),
watched AS (
    SELECT l.shop, l.order_line_id, l.order_id, l.line_state, l.updated_at, l.price_minor, l.currency, l.payload_hash
    FROM model.order_lines AS l
    WHERE l.shop = $shop AND l.line_state IN ('INCIDENT_OPEN', 'REFUNDED')
),
returned AS (
    SELECT
        u.order_line_id,
        min(u.return_id) AS return_id,
        string_agg(DISTINCT u.return_id, ', ' ORDER BY u.return_id) AS return_ids,
        bool_and(c.is_ended OR coalesce(c.status IN ('completed', 'rejected', 'cancelled'), false)) AS is_return_done,
        max(coalesce(c.resolved_at, c.updated_at)) AS ended_at,
        count(*) FILTER (u.disposition = 'sellable') AS accepted_units,
        count(u.inspected_at) AS inspected_units,
        max(u.platform_received_at) AS received_at,
        min(c.created_at) AS requested_at
    FROM model.return_units AS u
    INNER JOIN model.return_cases AS c ON c.shop = u.shop AND c.return_id = u.return_id
    SEMI JOIN watched AS w ON w.order_line_id = u.order_line_id
    WHERE u.shop = $shop AND NOT u.is_void
    GROUP BY u.order_line_id
),
refunded AS (
    SELECT order_line_id, count(*) AS refunds, max(created_at) AS refunded_at
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop
    GROUP BY order_line_id
)
SELECT
    w.order_line_id,
    w.order_id,
    w.line_state,
    w.updated_at,
    w.price_minor,
    w.currency,
    w.payload_hash,
    i.line_state_reason_code AS incident_reason,
    m.target_code AS close_reason,
    coalesce(r.return_id, '') AS return_id,
    r.return_ids,
    coalesce(r.is_return_done, false) AS is_return_done,
    r.ended_at,
    r.requested_at,
    r.received_at,
    coalesce(r.accepted_units, 0) AS accepted_units,
    coalesce(r.inspected_units, 0) AS inspected_units,
    coalesce(f.refunds, 0) AS refunds,
    f.refunded_at
FROM watched AS w
INNER JOIN lake.core.mirakl__order_lines AS i ON i.shop = w.shop AND i.order_line_id = w.order_line_id
LEFT JOIN reasons AS m ON m.source_code = i.line_state_reason_code
LEFT JOIN returned AS r ON r.order_line_id = w.order_line_id
LEFT JOIN refunded AS f ON f.order_line_id = w.order_line_id
WHERE
    w.line_state = 'INCIDENT_OPEN'
    OR (r.order_line_id IS NOT NULL AND NOT r.is_return_done AND r.inspected_units = 0)
ORDER BY w.order_id, w.order_line_id;
