-- One row per return unit of the shop, with what a month-end table needs of it. Key: return_unit_id.
-- Source: as model.return_units, whose rows and values these are (a test holds it), read from the core tables because a
-- close needs neither the twin on the returns platform nor the order, which cost the view most of its time, nor the return's
-- lines, of which every assignment is made (model/assign_return_units.sql). Units of returns
-- that were opened on the platform are few and come by their names (model.return_names).
CREATE OR REPLACE TEMP TABLE units AS
WITH announced AS (
    SELECT
        a.return_id AS assigned_as,
        a.return_id,
        c.order_id,
        a.order_line_id,
        a.ordinal,
        c.return_state IN ('REFUSED', 'CANCELED') AS is_void
    FROM lake.core.return_unit_assignments AS a
    INNER JOIN lake.core.mirakl__returns AS c ON c.return_id = a.return_id
    WHERE a.shop = $shop AND c.shop = $shop
    UNION ALL
    SELECT
        a.return_id,
        coalesce(m.return_id, a.return_id),
        p.order_id,
        a.order_line_id,
        a.ordinal,
        m.return_id IS NULL AND coalesce(s.canonical IN ('cancelled', 'rejected'), false)
    FROM lake.core.return_unit_assignments AS a
    INNER JOIN reported.returns AS p ON p.platform || ':' || p.platform_return_id = a.return_id
    LEFT JOIN mapping.statuses AS s ON s.source_system = p.platform AND upper(s.source_code) = upper(p.platform_status)
    LEFT JOIN (
        SELECT rma, min(return_id) AS return_id
        FROM lake.core.mirakl__returns
        WHERE shop = $shop AND rma IS NOT NULL AND return_state NOT IN ('REFUSED', 'CANCELED')
        GROUP BY rma
    ) AS m ON m.rma = p.platform_return_id
    WHERE a.shop = $shop AND p.shop = $shop AND a.return_id LIKE '%:%'
)
SELECT
    a.order_line_id || '#' || a.ordinal AS return_unit_id,
    a.return_id,
    a.order_id,
    a.order_line_id,
    a.ordinal,
    r.disposition,
    r.inspected_at,
    coalesce(r.is_received, false) AS is_received
FROM announced AS a
LEFT JOIN receipts AS r ON r.return_unit_id = a.order_line_id || '#' || a.ordinal AND r.return_id = a.assigned_as
WHERE NOT a.is_void OR r.return_unit_id IS NOT NULL;
