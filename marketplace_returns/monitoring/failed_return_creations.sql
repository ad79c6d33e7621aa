-- One row per return of the marketplace that should be on the returns platform and is not (R30): with age, cause, and when it
-- is tried next by itself (null: a person must act). Key: return_id; oldest first.
-- Source: create_platform_return writes of the ledger that did not end well, and open exceptions that hold one back.
WITH failed AS (
    SELECT
        w.return_id, w.order_id, w.state, w.attempt_count, w.root_cause, w.last_error, w.planned_at AS since,
        CASE WHEN w.state = 'PLANNED' THEN w.not_before END AS next_try_at
    FROM ledger.writes AS w
    WHERE
        w.shop = $shop AND w.kind = 'create_platform_return'
        AND (w.state IN ('REJECTED', 'UNKNOWN', 'CONFLICT') OR (w.state = 'PLANNED' AND w.attempt_count > 0))
),
held AS (
    SELECT
        json_extract_string(entity, '$.return_id') AS return_id, min(type) AS type, min(owner) AS owner,
        min(message) AS message, min(root_cause) AS root_cause, min(opened_at) AS opened_at
    FROM ledger.cases
    WHERE
        shop = $shop AND resolved_at IS NULL
        AND type IN ('RETURN_CREATE_FAILED', 'RETURN_WAITING_ORDER', 'RETURN_INELIGIBLE', 'REASON_UNMAPPED')
        AND json_extract_string(entity, '$.return_id') IS NOT NULL
    GROUP BY ALL
)
SELECT
    coalesce(f.return_id, h.return_id) AS return_id,
    coalesce(f.order_id, c.order_id) AS order_id,
    coalesce(f.state, 'HELD') AS state,
    coalesce(nullif(f.root_cause, ''), nullif(h.root_cause, ''), h.type, 'unclear') AS cause,
    coalesce(nullif(f.last_error, ''), h.message) AS detail,
    coalesce(f.attempt_count, 0) AS attempts,
    f.next_try_at,
    h.type AS exception_type,
    coalesce(h.owner, 'operations') AS owner,
    coalesce(c.created_at, f.since, h.opened_at) AS since,
    date_diff('hour', coalesce(c.created_at, f.since, h.opened_at), $now) AS age_hours
FROM failed AS f
FULL JOIN held AS h ON h.return_id = f.return_id
LEFT JOIN model.return_cases AS c ON c.shop = $shop AND c.return_id = coalesce(f.return_id, h.return_id)
WHERE c.platform_return_id IS NULL
ORDER BY since, return_id;
