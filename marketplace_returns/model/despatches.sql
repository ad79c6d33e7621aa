-- One row per parcel and order line. Key: (shop, despatch_number, order_line_id, item_code). Source: Peoplevox Despatch summary.
-- Units despatched meet units ordered one to one within (order, item code): first those the marketplace shows on a line with
-- the parcel's number, so that a parcel entered late moves none that is confirmed; then in order of despatch and of line,
-- cancelled lines last. A despatched unit with no order line keeps a null order_line_id, so nothing is dropped.
CREATE OR REPLACE VIEW model.despatches AS
WITH parcel_units AS (
    SELECT
        d.shop, d.sales_order_number AS order_id, d.item_code, d.despatch_number, d.carrier, d.service,
        d.tracking_number, d.despatched_at, d.payload_hash, d.row_no, u.n,
        row_number() OVER (
            PARTITION BY d.shop, d.sales_order_number, d.item_code, d.despatch_number ORDER BY d.row_no, u.n
        ) AS place
    FROM lake.core.peoplevox__despatches AS d, unnest(range(1, d.quantity + 1)) AS u (n)
),
shown_units AS (
    SELECT
        s.shop, s.order_id, l.item_code, s.package_reference AS despatch_number, s.order_line_id,
        row_number() OVER (
            PARTITION BY s.shop, s.order_id, l.item_code, s.package_reference ORDER BY l.line_index, s.order_line_id, u.n
        ) AS place
    FROM lake.core.mirakl__shipment_lines AS s
    INNER JOIN model.order_lines AS l ON l.shop = s.shop AND l.order_line_id = s.order_line_id
    CROSS JOIN unnest(range(1, s.quantity + 1)) AS u (n)
    WHERE s.package_reference IS NOT NULL
),
settled_units AS (
    SELECT
        d.*, s.order_line_id,
        row_number() OVER (PARTITION BY d.shop, s.order_line_id ORDER BY d.despatched_at, d.despatch_number, d.place)
            AS line_place
    FROM parcel_units AS d
    INNER JOIN shown_units AS s
        ON s.shop = d.shop AND s.order_id = d.order_id AND s.item_code = d.item_code
        AND s.despatch_number = d.despatch_number AND s.place = d.place
),
ordered_units AS (
    SELECT
        l.shop, l.order_id, l.item_code, l.order_line_id,
        row_number() OVER (
            PARTITION BY l.shop, l.order_id, l.item_code
            ORDER BY l.line_state IN ('REFUSED', 'CANCELED'), l.line_index, l.order_line_id, u.n
        ) AS unit_no
    FROM model.order_lines AS l
    CROSS JOIN unnest(range(1, l.quantity + 1)) AS u (n)
    ANTI JOIN settled_units AS s ON s.shop = l.shop AND s.order_line_id = l.order_line_id AND s.line_place = u.n
),
despatched_units AS (
    SELECT
        d.*,
        row_number() OVER (
            PARTITION BY d.shop, d.order_id, d.item_code ORDER BY d.despatched_at, d.despatch_number, d.row_no, d.n
        ) AS unit_no
    FROM parcel_units AS d
    ANTI JOIN settled_units AS s
        ON s.shop = d.shop AND s.order_id = d.order_id AND s.item_code = d.item_code
        AND s.despatch_number = d.despatch_number AND s.place = d.place
),
matched AS (
    SELECT
        d.shop, d.order_id, d.despatch_number, o.order_line_id, d.item_code, d.carrier, d.service, d.tracking_number,
        d.despatched_at, d.payload_hash
    FROM despatched_units AS d
    LEFT JOIN ordered_units AS o
        ON o.shop = d.shop AND o.order_id = d.order_id AND o.item_code = d.item_code AND o.unit_no = d.unit_no
    UNION ALL
    SELECT
        shop, order_id, despatch_number, order_line_id, item_code, carrier, service, tracking_number, despatched_at,
        payload_hash
    FROM settled_units
)
SELECT
    d.shop,
    d.order_id,
    d.despatch_number,
    d.order_line_id,
    d.item_code,
    count(*) AS quantity,
    min(d.carrier) AS carrier,
    min(d.service) AS service,
    min(d.tracking_number) AS tracking_number,
    min(d.despatched_at) AS despatched_at,
    min(d.payload_hash) AS payload_hash
FROM matched AS d
GROUP BY d.shop, d.order_id, d.despatch_number, d.order_line_id, d.item_code;
