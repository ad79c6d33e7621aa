-- One row per line of an order that may be shipped and that the warehouse does not know, or knows with fewer lines than it has
-- (it was saved by half; $reads_lines: whether the warehouse's lines are read), oldest first. lines_shown is null where it does not know it.
-- Only SHIPPING orders whose address is visible (G11). An item the catalogue does not list has is_in_catalogue = false;
-- where no catalogue was read yet it is null. None of an order of which a line is set aside: it would be sent without it.
-- Source: model.orders, model.order_lines, core.peoplevox__item_types, core.peoplevox__sales_order_items, landing.quarantine.
WITH catalogue AS (
    SELECT count(*) AS items FROM lake.core.peoplevox__item_types WHERE shop = $shop AND is_listed
),
shown AS (
    SELECT sales_order_number, count(*) AS lines
    FROM lake.core.peoplevox__sales_order_items
    WHERE shop = $shop AND $reads_lines
    GROUP BY ALL
),
missing AS (
    SELECT
        o.*,
        CASE WHEN o.is_in_warehouse THEN coalesce(s.lines, 0) END AS lines_shown
    FROM model.orders AS o
    LEFT JOIN shown AS s ON s.sales_order_number = o.order_id
    WHERE
        o.shop = $shop AND o.order_state = 'SHIPPING'
        AND (
            NOT o.is_in_warehouse
            OR ($reads_lines AND lower(o.warehouse_status) NOT IN ('cancelled', 'canceled', 'deleted'))
        )
)
SELECT
    o.order_id,
    o.created_at,
    o.customer_debited_at,
    o.shipping_deadline_at,
    o.has_shipping_address,
    o.shipping_type_code,
    o.currency,
    o.total_price_minor,
    o.payload_hash,
    o.lines_shown,
    l.order_line_id,
    l.line_index,
    l.item_code,
    l.quantity,
    l.price_minor,
    CASE WHEN c.items = 0 THEN NULL ELSE i.item_code IS NOT NULL END AS is_in_catalogue
FROM missing AS o
INNER JOIN model.order_lines AS l ON l.shop = o.shop AND l.order_id = o.order_id
CROSS JOIN catalogue AS c
LEFT JOIN lake.core.peoplevox__item_types AS i ON i.shop = l.shop AND i.item_code = l.item_code AND i.is_listed
ANTI JOIN lake.landing.quarantine AS q
    ON q.shop = o.shop AND q.payload_hash = o.payload_hash AND q.table_name = 'mirakl__order_lines'
WHERE
    l.line_state NOT IN ('REFUSED', 'CANCELED')
    AND l.quantity > 0
QUALIFY o.lines_shown IS NULL OR o.lines_shown < count(*) OVER (PARTITION BY o.order_id)
ORDER BY o.created_at, o.order_id, l.line_index, l.order_line_id;
