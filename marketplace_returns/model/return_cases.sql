-- One row per return with its twin on the returns platform. Key: (shop, return_id).
-- The twin of a marketplace return is the platform return whose id we wrote as rma (RT04), or that our confirmed write made
-- (ledger.platform_links), or that carries our key. Where returns begin on the platform (policy return_origin) it is also the
-- one of the same order and item that nothing else claims: a return opened on both sides is one return (C5); and a platform
-- return that no marketplace return stands for is a case of its own, return_id = <platform>:<its id>, with no return_state.
-- Never one found by e-mail (R73).
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
named AS (
    SELECT shop, return_id, platform_return_id
    FROM twins
    QUALIFY row_number() OVER (PARTITION BY shop, return_id ORDER BY rank, platform_return_id) = 1
),
-- What nobody's key joins, where returns begin on the platform.
unclaimed AS (
    SELECT p.shop, p.platform, p.platform_return_id, p.order_id, p.created_at, coalesce(p.status IN ('cancelled', 'rejected'), false) AS is_void
    FROM model.platform_returns AS p
    INNER JOIN setting.shops AS c ON c.shop = p.shop AND c.platform = p.platform AND c.begins_on_platform
    INNER JOIN lake.core.mirakl__orders AS o ON o.shop = p.shop AND o.order_id = p.order_id
    ANTI JOIN (
        SELECT n.shop, n.platform_return_id
        FROM named AS n
        INNER JOIN lake.core.mirakl__returns AS r ON r.shop = n.shop AND r.return_id = n.return_id
        WHERE r.return_state NOT IN ('REFUSED', 'CANCELED')
    ) AS n ON n.shop = p.shop AND n.platform_return_id = p.platform_return_id
),
-- A pair shares an item and is each other's first.
met AS (
    SELECT DISTINCT r.shop, r.return_id, u.platform_return_id, r.created_at AS opened_at, u.created_at
    FROM unclaimed AS u
    INNER JOIN lake.core.mirakl__returns AS r
        ON r.shop = u.shop AND r.order_id = u.order_id AND r.return_state NOT IN ('REFUSED', 'CANCELED')
    ANTI JOIN named AS n ON n.shop = r.shop AND n.return_id = r.return_id
    INNER JOIN lake.core.mirakl__return_lines AS rl ON rl.shop = r.shop AND rl.return_id = r.return_id
    INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = rl.shop AND l.order_line_id = rl.order_line_id
    INNER JOIN reported.items AS i
        ON i.shop = u.shop AND i.platform_return_id = u.platform_return_id
        AND coalesce(i.order_line_id = rl.order_line_id, i.sku = l.offer_sku)
    WHERE NOT u.is_void
),
paired AS (
    SELECT shop, return_id, platform_return_id
    FROM met
    QUALIFY
        row_number() OVER (PARTITION BY shop, return_id ORDER BY created_at, platform_return_id) = 1
        AND row_number() OVER (PARTITION BY shop, platform_return_id ORDER BY opened_at, return_id) = 1
),
twin AS (
    SELECT shop, return_id, platform_return_id FROM named
    UNION ALL
    SELECT shop, return_id, platform_return_id FROM paired
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
LEFT JOIN model.platform_returns AS p ON p.shop = t.shop AND p.platform_return_id = t.platform_return_id
UNION ALL
SELECT
    u.shop,
    u.platform || ':' || u.platform_return_id AS return_id,
    u.order_id,
    o.commercial_id AS order_commercial_id,
    NULL AS return_state,
    NULL AS rma,
    NULL AS label_url,
    p.created_at,
    p.updated_at,
    u.is_void,
    coalesce(p.status IN ('completed', 'rejected', 'cancelled'), false) AS is_ended,
    o.order_state,
    p.platform_return_id,
    p.platform,
    p.status,
    p.platform_status,
    p.label_url,
    p.carrier,
    p.tracking_number,
    p.shipped_at,
    p.received_at,
    p.resolved_at,
    p.payload_hash
FROM unclaimed AS u
INNER JOIN model.platform_returns AS p ON p.shop = u.shop AND p.platform_return_id = u.platform_return_id
INNER JOIN lake.core.mirakl__orders AS o ON o.shop = u.shop AND o.order_id = u.order_id
ANTI JOIN paired AS t ON t.shop = u.shop AND t.platform_return_id = u.platform_return_id;
