-- One row per order that a number belongs to, with the kind of number it is. Key: (shop, order_id, kind).
-- An order's own ids are asked of its tables, which are sorted by the order, any other number of core.order_references, which is
-- sorted by the number; so no table is read whole. Variable 'reference' holds the number, so that the planner sees it.
-- Of a platform that names orders in its own way (ReturnGO), the order's name is tried as the settings read it.
-- Source: core tables, by key; never an e-mail.
WITH named AS (
    -- An expected receipt is RTN-<return id>, or RTN-<platform return id>.
    SELECT DISTINCT
        shop, order_id, return_id, CASE WHEN reference = getvariable('reference') THEN kind ELSE 'expected receipt' END AS kind
    FROM lake.core.order_references
    WHERE
        reference IN (getvariable('reference'), getvariable('announced'))
        AND (reference = getvariable('reference') OR kind IN ('return', 'platform return'))
),
returned AS (
    SELECT r.shop, r.order_id, n.kind
    FROM (SELECT DISTINCT shop, return_id, kind FROM named WHERE return_id <> '') AS n
    INNER JOIN lake.core.order_references AS r ON r.shop = n.shop AND r.reference = n.return_id AND r.kind = 'return'
)
SELECT DISTINCT shop, order_id, kind FROM (
    SELECT shop, order_id, 'order' AS kind FROM lake.core.mirakl__orders WHERE order_id = getvariable('reference')
    UNION ALL
    SELECT shop, order_id, 'order' FROM lake.core.mirakl__orders WHERE commercial_id = getvariable('reference')
    UNION ALL
    SELECT shop, order_id, 'order line' FROM lake.core.mirakl__order_lines WHERE order_line_id = getvariable('reference')
    UNION ALL
    SELECT shop, sales_order_number, 'warehouse order' FROM lake.core.peoplevox__sales_orders
    WHERE sales_order_number = getvariable('reference')
    UNION ALL
    SELECT shop, order_id, kind FROM returned
    UNION ALL
    SELECT n.shop, unnest(CASE WHEN n.is_folded THEN [n.name, upper(n.name), lower(n.name)] ELSE [n.name] END), n.kind
    FROM (
        SELECT
            n.shop, n.kind, coalesce(c.platform = 'returngo' AND c.is_order_name_folded, false) AS is_folded,
            ltrim(trim(n.order_id), coalesce(c.order_name_strip, '')) AS name
        FROM named AS n LEFT JOIN setting.shops AS c ON c.shop = n.shop
        WHERE n.order_id <> ''
    ) AS n
)
ORDER BY shop, order_id, kind;
