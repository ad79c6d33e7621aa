-- One row per return that one side has ended and the other has not, ended longest ago first. Key: return_id.
-- ended_at: when the side that ended did. Source: model.return_cases (platform words by mapping.statuses).
SELECT
    c.return_id,
    c.order_id,
    c.return_state,
    c.platform,
    c.platform_return_id,
    c.platform_status,
    c.is_ended AS is_marketplace_ended,
    CASE WHEN c.is_ended THEN c.updated_at ELSE coalesce(c.resolved_at, p.updated_at) END AS ended_at
FROM model.return_cases AS c
INNER JOIN model.platform_returns AS p ON p.shop = c.shop AND p.platform_return_id = c.platform_return_id
WHERE
    c.shop = $shop
    AND c.status IS NOT NULL
    AND c.is_ended <> (c.status IN ('completed', 'rejected', 'cancelled'))
    AND CASE WHEN c.is_ended THEN c.updated_at ELSE coalesce(c.resolved_at, p.updated_at) END <= $ended_before
ORDER BY ended_at, c.return_id;
