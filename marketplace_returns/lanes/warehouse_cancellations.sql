-- One row per order that the warehouse holds and the marketplace cancelled, whole or by a line, oldest first. Key: order_id.
-- is_whole: nothing of it is wanted any more. has_left: something of it was despatched. surplus: what is still to leave the
-- warehouse beyond the lines that are wanted, as "2 x ITEM" (what has left is a race of lane cancelations). Statuses of the warehouse are compared without case; a cancelled
-- sales order is called Cancelled, the only status that may be imported.
-- Source: model.orders, model.order_lines, core.peoplevox__sales_order_items, core.peoplevox__despatches.
WITH held AS (
    SELECT o.*
    FROM model.orders AS o
    WHERE
        o.shop = $shop
        AND o.is_in_warehouse
        AND lower(o.warehouse_status) NOT IN ('cancelled', 'canceled', 'deleted')
        AND o.order_state IN ('CANCELED', 'REFUSED', 'SHIPPING')
),
departed AS (
    SELECT d.sales_order_number AS order_id, d.item_code, CAST(sum(d.quantity) AS BIGINT) AS units
    FROM lake.core.peoplevox__despatches AS d
    WHERE d.shop = $shop AND d.sales_order_number IN (SELECT h.order_id FROM held AS h)
    GROUP BY d.sales_order_number, d.item_code
),
wanted AS (
    SELECT l.order_id, l.item_code, CAST(sum(l.quantity) AS BIGINT) AS units
    FROM model.order_lines AS l
    INNER JOIN held AS h ON h.shop = l.shop AND h.order_id = l.order_id
    WHERE l.line_state NOT IN ('REFUSED', 'CANCELED')
    GROUP BY l.order_id, l.item_code
),
ordered AS (
    SELECT i.sales_order_number AS order_id, i.item_code, CAST(sum(i.quantity) AS BIGINT) AS units
    FROM lake.core.peoplevox__sales_order_items AS i
    WHERE i.shop = $shop AND i.sales_order_number IN (SELECT h.order_id FROM held AS h)
    GROUP BY i.sales_order_number, i.item_code
),
surplus AS (
    SELECT
        r.order_id,
        string_agg(
            (r.units - greatest(coalesce(w.units, 0), coalesce(d.units, 0))) || ' x ' || r.item_code, ', ' ORDER BY r.item_code
        ) AS surplus
    FROM ordered AS r
    LEFT JOIN wanted AS w ON w.order_id = r.order_id AND w.item_code = r.item_code
    LEFT JOIN departed AS d ON d.order_id = r.order_id AND d.item_code = r.item_code
    WHERE r.units > greatest(coalesce(w.units, 0), coalesce(d.units, 0))
    GROUP BY r.order_id
)
SELECT
    h.order_id,
    h.order_state,
    h.warehouse_status,
    h.currency,
    h.total_price_minor,
    h.payload_hash,
    h.order_state IN ('CANCELED', 'REFUSED') AS is_whole,
    h.order_id IN (SELECT d.order_id FROM departed AS d) AS has_left,
    s.surplus
FROM held AS h
LEFT JOIN surplus AS s ON s.order_id = h.order_id
WHERE h.order_state IN ('CANCELED', 'REFUSED') OR s.surplus IS NOT NULL
ORDER BY h.created_at, h.order_id;
