-- One row per return of the marketplace with its twin on the returns platform. Key: (shop, return_id).
-- The twin is the platform return whose id we wrote as rma (RT04), or that our confirmed write made (ledger.platform_links),
-- or that carries our key; never one found by e-mail (R73).
CREATE OR REPLACE VIEW model.return_cases AS
WITH twins AS (
    SELECT r.shop, r.return_id, p.platform_return_id, 1 AS rank
    FROM lake.core.mirakl__returns AS r
    INNER JOIN model.platform_returns AS p ON p.shop = r.shop AND p.platform_return_id = r.rma
    UNION ALL
    SELECT k.shop, k.return_id, k.platform_return_id, 2 AS rank
    FROM ledger.platform_links AS k
    UNION ALL
    SELECT p.shop, p.external_id AS return_id, p.platform_return_id, 3 AS rank
    FROM model.platform_returns AS p
    WHERE p.external_id IS NOT NULL
),
twin AS (
    SELECT shop, return_id, platform_return_id
    FROM twins
    QUALIFY row_number() OVER (PARTITION BY shop, return_id ORDER BY rank, platform_return_id) = 1
)
SELECT
    r.shop,
    r.return_id,
    r.order_id,
    r.order_commercial_id,
    r.return_state,
    r.rma,
    r.label_url,
    r.created_at,
    r.updated_at,
    r.return_state IN ('REFUSED', 'CANCELED') AS is_void,
    r.return_state IN ('REFUSED', 'CANCELED', 'CLOSED', 'NO_RECEPTION') AS is_ended,
    o.order_state,
    t.platform_return_id,
    p.platform,
    p.status AS status,
    p.platform_status,
    p.label_url AS platform_label_url,
    p.carrier AS platform_carrier,
    p.tracking_number AS platform_tracking_number,
    p.shipped_at,
    p.received_at AS platform_received_at,
    p.resolved_at,
    r.payload_hash
FROM lake.core.mirakl__returns AS r
LEFT JOIN lake.core.mirakl__orders AS o ON o.shop = r.shop AND o.order_id = r.order_id
LEFT JOIN twin AS t ON t.shop = r.shop AND t.return_id = r.return_id
LEFT JOIN model.platform_returns AS p ON p.shop = t.shop AND p.platform_return_id = t.platform_return_id;
