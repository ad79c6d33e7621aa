-- When each return unit was paid back, by whoever did it; units that were not are not here. Key: return_unit_id.
-- Sources: confirmed_refunds, refunds that no intent of ours made: they are given to the line's other units in
-- the order of refund_three_way. Invariant: a refund takes as many units as it says, a unit at most one refund.
CREATE OR REPLACE TABLE refunded_units AS
WITH ours AS (
    SELECT return_unit_id, min(sent_at) AS refunded_at
    FROM ledger.confirmed_refunds
    WHERE return_unit_id IS NOT NULL
    GROUP BY return_unit_id
),
foreign_refunds AS (
    SELECT r.order_line_id, r.created_at, r.refund_id, unnest(range(1, r.quantity + 1)) AS unit_no
    FROM refunds AS r
    ANTI JOIN ledger.confirmed_refunds AS i ON i.refund_id = r.refund_id
),
foreign_units AS (
    SELECT order_line_id, created_at, row_number() OVER (PARTITION BY order_line_id ORDER BY created_at, refund_id, unit_no) AS place
    FROM foreign_refunds
),
free_units AS (
    SELECT
        u.return_unit_id,
        u.order_line_id,
        row_number() OVER (PARTITION BY u.order_line_id ORDER BY u.inspected_at IS NULL, u.inspected_at, u.ordinal) AS place
    FROM units AS u
    SEMI JOIN foreign_units AS f ON f.order_line_id = u.order_line_id
    ANTI JOIN ours AS o ON o.return_unit_id = u.return_unit_id
)
SELECT return_unit_id, refunded_at FROM ours
UNION ALL
SELECT u.return_unit_id, f.created_at
FROM free_units AS u
INNER JOIN foreign_units AS f ON f.order_line_id = u.order_line_id AND f.place = u.place;
