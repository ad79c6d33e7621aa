-- One row per returned unit in ReturnGO. Source: core.returngo__rma_items, __transactions, __rmas, core.mirakl__order_lines.
-- Validation flags mean something only once lastValidationDate is there. A unit waits for its outcome while a transaction for it
-- does (statuses as in sources/returngo/writes.py). Where ReturnGO does not show our key of the line, the line is the order's
-- only one with that SKU.
WITH waiting AS (
    SELECT DISTINCT t.shop, t.platform_return_id, u.item_id
    FROM lake.core.returngo__transactions AS t
    CROSS JOIN unnest(CAST(t.item_ids AS JSON)::VARCHAR[]) AS u (item_id)
    WHERE lower(t.status) IN ('requested', 'pending')
),
keyless AS (
    SELECT i.shop, i.platform_return_id, i.item_id, i.sku, lower(ltrim(trim(r.order_name), c.order_name_strip)) AS order_name
    FROM lake.core.returngo__rma_items AS i
    INNER JOIN lake.core.returngo__rmas AS r ON r.shop = i.shop AND r.platform_return_id = i.platform_return_id
    INNER JOIN setting.shops AS c ON c.shop = i.shop
    WHERE i.external_id IS NULL
),
only_lines AS (
    SELECT k.shop, k.platform_return_id, k.item_id, min(l.order_line_id) AS order_line_id
    FROM keyless AS k
    INNER JOIN lake.core.mirakl__order_lines AS l
        ON l.shop = k.shop AND lower(l.order_id) = k.order_name AND l.offer_sku = k.sku
    GROUP BY ALL
    HAVING count(*) = 1
)
SELECT
    i.shop,
    'returngo' AS platform,
    i.platform_return_id,
    i.item_id,
    coalesce(i.external_id, l.order_line_id) AS order_line_id,
    i.sku,
    CAST(NULL AS VARCHAR) AS received_sku,
    CAST(1 AS BIGINT) AS quantity,
    i.return_reason,
    CASE
        WHEN i.validated_at IS NULL THEN NULL
        WHEN NOT coalesce(i.is_returned, false) THEN 'not_returned'
        WHEN i.is_restockable THEN 'restockable'
        ELSE 'not_restockable|' || lower(coalesce(i.non_restockable_reason, ''))
    END AS disposition_code,
    i.validated_at AS inspected_at,
    w.item_id IS NOT NULL AS is_outcome_due,
    i.payload_hash
FROM lake.core.returngo__rma_items AS i
LEFT JOIN only_lines AS l ON l.shop = i.shop AND l.platform_return_id = i.platform_return_id AND l.item_id = i.item_id
LEFT JOIN waiting AS w ON w.shop = i.shop AND w.platform_return_id = i.platform_return_id AND w.item_id = i.item_id
