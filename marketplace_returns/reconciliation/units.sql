-- One row per return unit of the shop, with what a month-end table needs of it, of its line and of its return. Key: return_unit_id.
-- value is its share of the line's price, owed with the taxes that come on top; both are null where the line is not there.
-- Source: as model.return_units, whose rows and values these are (a test holds it), read from the core tables because a
-- close needs neither the twin on the returns platform nor the order, which cost the view most of its time, nor the return's
-- lines, of which every assignment is made (model/assign_return_units.sql). Units of returns
-- that were opened on the platform are few and come by their names (model.return_names).
CREATE OR REPLACE TABLE units AS
WITH assignments AS MATERIALIZED (
    SELECT return_id, order_line_id, ordinal FROM lake.core.return_unit_assignments WHERE shop = $shop
),
returns AS MATERIALIZED (
    SELECT return_id, order_id, return_state, rma, created_at, updated_at FROM lake.core.mirakl__returns WHERE shop = $shop
),
announced AS (
    SELECT
        a.return_id AS assigned_as,
        a.return_id,
        c.order_id,
        a.order_line_id,
        a.ordinal,
        c.return_state IN ('REFUSED', 'CANCELED') AS is_void,
        c.return_state,
        c.created_at AS requested_at,
        c.updated_at
    FROM assignments AS a
    INNER JOIN returns AS c ON c.return_id = a.return_id
    UNION ALL
    SELECT
        a.return_id,
        coalesce(m.return_id, a.return_id),
        p.order_id,
        a.order_line_id,
        a.ordinal,
        m.return_id IS NULL AND coalesce(s.canonical IN ('cancelled', 'rejected'), false),
        m.return_state,
        m.created_at,
        m.updated_at
    FROM assignments AS a
    INNER JOIN platform_returns AS p ON p.own_return_id = a.return_id
    LEFT JOIN mapping.statuses AS s ON s.source_system = p.platform AND upper(s.source_code) = upper(p.platform_status)
    LEFT JOIN (
        SELECT rma, return_id, return_state, created_at, updated_at
        FROM returns
        WHERE rma IS NOT NULL AND return_state NOT IN ('REFUSED', 'CANCELED')
        QUALIFY row_number() OVER (PARTITION BY rma ORDER BY return_id) = 1
    ) AS m ON m.rma = p.platform_return_id
    WHERE a.return_id LIKE '%:%'
)
SELECT
    a.order_line_id || '#' || a.ordinal AS return_unit_id,
    a.return_id,
    a.order_id,
    a.order_line_id,
    a.ordinal,
    r.disposition,
    r.inspected_at,
    coalesce(r.is_received, false) AS is_received,
    a.return_state,
    a.requested_at,
    a.updated_at AS return_updated_at,
    l.currency,
    model.unit_share(l.price_minor, a.ordinal, l.quantity) AS value_minor,
    model.unit_share(l.price_minor + l.sales_tax_minor, a.ordinal, l.quantity) AS owed_minor
FROM announced AS a
LEFT JOIN lines AS l ON l.order_line_id = a.order_line_id
LEFT JOIN receipts AS r ON r.return_unit_id = a.order_line_id || '#' || a.ordinal AND r.return_id = a.assigned_as
WHERE NOT a.is_void OR r.return_unit_id IS NOT NULL;
