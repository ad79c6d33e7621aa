-- One row per SKU of a return that was opened on the platform and that no return of the marketplace stands for, oldest first.
-- Key: (platform_return_id, sku). return_id: null where the order is not known. lines: the order lines its units were given, with
-- how many and how many of them beyond what was sold; empty where the order has no line of the SKU. Source: model.platform_returns,
-- reported.items, model.return_cases, model.return_units, mapping.reasons (flow report_return).
WITH reasons AS (
    SELECT lower(source_code) AS source_code, target_code
    FROM mapping.reasons
    WHERE
        source_system = $platform AND flow = 'report_return' AND target_vocabulary = 'mirakl_return' AND coalesce(valid_from, DATE '0001-01-01') <= $today
    QUALIFY row_number() OVER (PARTITION BY lower(source_code) ORDER BY valid_from DESC NULLS LAST) = 1
),
opened AS (
    SELECT p.platform_return_id, p.order_id, p.created_at, p.label_url, p.payload_hash, c.return_id, c.order_commercial_id
    FROM model.platform_returns AS p
    LEFT JOIN model.return_cases AS c
        ON c.shop = p.shop AND c.platform_return_id = p.platform_return_id AND c.return_state IS NULL
    WHERE
        p.shop = $shop
        AND NOT coalesce(p.status IN ('completed', 'rejected', 'cancelled'), false)
        AND p.platform_return_id NOT IN (
            SELECT k.platform_return_id FROM model.return_cases AS k
            WHERE k.shop = $shop AND k.return_state IS NOT NULL AND NOT k.is_void AND k.platform_return_id IS NOT NULL
        )
),
items AS (
    SELECT i.platform_return_id, i.sku, sum(i.quantity) AS quantity, min(i.return_reason) AS return_reason
    FROM reported.items AS i
    WHERE i.shop = $shop
    GROUP BY i.platform_return_id, i.sku
),
lines AS (
    SELECT
        u.return_id, u.offer_sku, u.order_line_id, l.line_state, l.shipped_at,
        CAST(count(*) AS BIGINT) AS quantity,
        CAST(count(*) FILTER (u.is_over_quantity) AS BIGINT) AS over_quantity
    FROM model.return_units AS u
    INNER JOIN model.order_lines AS l ON l.shop = u.shop AND l.order_line_id = u.order_line_id
    WHERE u.shop = $shop AND u.return_state IS NULL
    GROUP BY u.return_id, u.offer_sku, u.order_line_id, l.line_state, l.shipped_at
)
SELECT
    o.platform_return_id,
    o.return_id,
    o.order_id,
    o.order_commercial_id,
    o.created_at,
    o.label_url,
    o.payload_hash,
    i.sku,
    i.return_reason,
    m.target_code AS marketplace_reason,
    coalesce((
        SELECT list(
            {
                'order_line_id': n.order_line_id, 'quantity': n.quantity, 'over_quantity': n.over_quantity,
                'line_state': n.line_state, 'shipped_at': n.shipped_at
            }
            ORDER BY n.order_line_id
        )
        FROM lines AS n
        WHERE n.return_id = o.return_id AND n.offer_sku = i.sku
    ), []) AS lines
FROM opened AS o
INNER JOIN items AS i ON i.platform_return_id = o.platform_return_id
LEFT JOIN reasons AS m ON m.source_code = lower(i.return_reason)
ORDER BY o.created_at, o.platform_return_id, i.sku;
