-- One row per return in ReBound. Source: core.rebound__returns, core.rebound__tracking_events; mapping.statuses says which of
-- ReBound's words mean that a parcel travels, has come, was opened. A word passed by unseen is made good by a later one.
-- ReBound tells no amount and no currency of a return.
SELECT
    r.shop,
    'rebound' AS platform,
    r.platform_return_id,
    r.external_id,
    r.order_id,
    r.status AS platform_status,
    false AS is_instant,
    CAST(NULL AS VARCHAR) AS currency,
    CAST(NULL AS BIGINT) AS refund_amount_minor,
    r.carrier,
    r.tracking_number,
    r.label_url,
    r.created_at,
    coalesce(r.updated_at, e.last_seen_at, r.created_at) AS updated_at,
    e.shipped_at,
    e.received_at,
    e.inspected_at AS resolved_at,
    r.payload_hash
FROM lake.core.rebound__returns AS r
LEFT JOIN (
    SELECT
        t.shop,
        t.platform_return_id,
        min(t.occurred_at) FILTER (
            s.canonical IN ('in_transit', 'at_hub', 'received', 'in_review', 'inspected', 'completed', 'rejected')
        ) AS shipped_at,
        min(t.occurred_at) FILTER (
            s.canonical IN ('received', 'in_review', 'inspected', 'completed', 'rejected')
        ) AS received_at,
        min(t.occurred_at) FILTER (s.canonical IN ('inspected', 'completed', 'rejected')) AS inspected_at,
        max(t.occurred_at) AS last_seen_at
    FROM lake.core.rebound__tracking_events AS t
    LEFT JOIN mapping.statuses AS s ON s.source_system = 'rebound' AND upper(s.source_code) = upper(t.status)
    GROUP BY t.shop, t.platform_return_id
) AS e ON e.shop = r.shop AND e.platform_return_id = r.platform_return_id
