-- One row per parcel line of an order that the marketplace still shows as SHIPPING, oldest parcel first, with the units
-- of the order that have left so far; is_cancelled: its line, or units of its item beyond those on the order, were cancelled, so
-- it should not have left. Source: model.despatches, mapping.carriers, core.mirakl__shipment_lines, core.mirakl__cancelations.
WITH open_orders AS (
    SELECT o.shop, o.order_id, o.currency, o.total_price_minor, o.shipping_deadline_at
    FROM model.orders AS o
    WHERE o.shop = $shop AND o.order_state = 'SHIPPING'
),
ordered AS (
    SELECT l.order_id, CAST(sum(l.quantity) AS BIGINT) AS units
    FROM model.order_lines AS l
    INNER JOIN open_orders AS o ON o.shop = l.shop AND o.order_id = l.order_id
    WHERE l.line_state NOT IN ('REFUSED', 'CANCELED')
    GROUP BY l.order_id
),
left_units AS (
    SELECT d.order_id, CAST(sum(d.quantity) AS BIGINT) AS units
    FROM model.despatches AS d
    INNER JOIN open_orders AS o ON o.shop = d.shop AND o.order_id = d.order_id
    INNER JOIN model.order_lines AS l ON l.shop = d.shop AND l.order_line_id = d.order_line_id
    WHERE l.line_state NOT IN ('REFUSED', 'CANCELED')
    GROUP BY d.order_id
),
cancelled_items AS (
    SELECT DISTINCT l.order_id, l.item_code
    FROM lake.core.mirakl__cancelations AS x
    INNER JOIN model.order_lines AS l ON l.shop = x.shop AND l.order_line_id = x.order_line_id
    WHERE x.shop = $shop
),
carriers AS (
    SELECT lower(source_code) AS source_code, carrier_code, tracking_url_template
    FROM mapping.carriers
    WHERE source_system = 'peoplevox'
)
SELECT
    d.order_id,
    d.despatch_number,
    d.order_line_id,
    d.item_code,
    d.quantity,
    d.carrier,
    d.tracking_number,
    d.despatched_at,
    d.payload_hash,
    coalesce(l.line_state IN ('REFUSED', 'CANCELED'), x.item_code IS NOT NULL) AS is_cancelled,
    o.currency,
    o.total_price_minor,
    o.shipping_deadline_at,
    coalesce(n.units, 0) AS ordered_units,
    coalesce(t.units, 0) AS despatched_units,
    c.carrier_code,
    f.carrier_code AS default_carrier_code,
    f.tracking_url_template AS default_tracking_url_template
FROM open_orders AS o
INNER JOIN model.despatches AS d ON d.shop = o.shop AND d.order_id = o.order_id
LEFT JOIN model.order_lines AS l ON l.shop = d.shop AND l.order_line_id = d.order_line_id
LEFT JOIN cancelled_items AS x ON x.order_id = d.order_id AND x.item_code = d.item_code
LEFT JOIN ordered AS n ON n.order_id = d.order_id
LEFT JOIN left_units AS t ON t.order_id = d.order_id
LEFT JOIN carriers AS c ON c.source_code = lower(d.carrier)
LEFT JOIN carriers AS f ON f.source_code = '*'
ANTI JOIN lake.core.mirakl__shipment_lines AS s
    ON s.shop = d.shop AND s.order_line_id = d.order_line_id AND s.package_reference = d.despatch_number
ORDER BY d.despatched_at, d.order_id, d.despatch_number, d.order_line_id;
