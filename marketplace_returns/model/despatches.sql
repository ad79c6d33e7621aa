-- One row per parcel and order line. Key: (shop, despatch_number, order_line_id, item_code). Source: Peoplevox Despatch summary.
-- Units despatched meet units ordered one to one within (order, item code), in order of despatch and of line; a despatched
-- unit with no order line keeps a null order_line_id, so nothing is dropped.
CREATE OR REPLACE VIEW model.despatches AS
WITH ordered_units AS (
    SELECT
        l.shop, l.order_id, l.item_code, l.order_line_id,
        row_number() OVER (
            PARTITION BY l.shop, l.order_id, l.item_code ORDER BY l.line_index, l.order_line_id, u.n
        ) AS unit_no
    FROM model.order_lines AS l, unnest(range(1, l.quantity + 1)) AS u (n)
),
despatched_units AS (
    SELECT
        d.shop, d.sales_order_number AS order_id, d.item_code, d.despatch_number, d.carrier, d.service,
        d.tracking_number, d.despatched_at, d.payload_hash,
        row_number() OVER (
            PARTITION BY d.shop, d.sales_order_number, d.item_code
            ORDER BY d.despatched_at, d.despatch_number, d.row_no, u.n
        ) AS unit_no
    FROM lake.core.peoplevox__despatches AS d, unnest(range(1, d.quantity + 1)) AS u (n)
)
SELECT
    d.shop,
    d.order_id,
    d.despatch_number,
    o.order_line_id,
    d.item_code,
    count(*) AS quantity,
    min(d.carrier) AS carrier,
    min(d.service) AS service,
    min(d.tracking_number) AS tracking_number,
    min(d.despatched_at) AS despatched_at,
    min(d.payload_hash) AS payload_hash
FROM despatched_units AS d
LEFT JOIN ordered_units AS o
    ON o.shop = d.shop AND o.order_id = d.order_id AND o.item_code = d.item_code AND o.unit_no = d.unit_no
GROUP BY d.shop, d.order_id, d.despatch_number, o.order_line_id, d.item_code;
