-- One row per return unit of the shop, with what a month-end table needs of it. Key: return_unit_id.
-- Source: as model.return_units, whose rows and values these are (a test holds it), read from the core tables because a
-- close needs neither the twin on the returns platform nor the order, which cost the view most of its time.
CREATE OR REPLACE TEMP TABLE units AS
SELECT
    a.order_line_id || '#' || a.ordinal AS return_unit_id,
    a.return_id,
    c.order_id,
    a.order_line_id,
    a.ordinal,
    r.disposition,
    r.inspected_at,
    coalesce(r.is_received, false) AS is_received
FROM lake.core.return_unit_assignments AS a
INNER JOIN lake.core.mirakl__returns AS c ON c.return_id = a.return_id
INNER JOIN lake.core.mirakl__return_lines AS l ON l.return_id = a.return_id AND l.order_line_id = a.order_line_id
LEFT JOIN receipts AS r ON r.return_unit_id = a.order_line_id || '#' || a.ordinal AND r.return_id = a.return_id
WHERE
    a.shop = $shop AND c.shop = $shop AND l.shop = $shop
    AND (c.return_state NOT IN ('REFUSED', 'CANCELED') OR r.return_unit_id IS NOT NULL);
