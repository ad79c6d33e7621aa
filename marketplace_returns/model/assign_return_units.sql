-- Rows to add to core.return_unit_assignments: new units of marketplace returns with the smallest free ordinals of their order line, in the order the returns were opened.
-- What was given under the name of the return's twin counts (model.return_names), so a return opened on both sides has its units once.
-- An ordinal is taken while its return is neither refused nor cancelled, or once a receipt was matched to it; what is
-- assigned stays assigned, so the key of a refund (<order_line_id>#<ordinal>) never moves. Ordinals above the line's
-- quantity mean that more units were announced than were sold.
WITH had AS (
    SELECT a.shop, n.return_id, a.order_line_id, count(*) AS units
    FROM lake.core.return_unit_assignments AS a
    INNER JOIN model.return_names AS n ON n.shop = a.shop AND n.name = a.return_id
    WHERE a.shop = $shop
    GROUP BY a.shop, n.return_id, a.order_line_id
),
announced AS (
    SELECT
        r.shop, r.return_id, rl.order_line_id, u.n AS unit_no, r.created_at
    FROM lake.core.mirakl__returns AS r
    INNER JOIN lake.core.mirakl__return_lines AS rl ON rl.shop = r.shop AND rl.return_id = r.return_id
    LEFT JOIN had AS h ON h.shop = r.shop AND h.return_id = r.return_id AND h.order_line_id = rl.order_line_id
    CROSS JOIN unnest(range(coalesce(h.units, 0) + 1, rl.quantity + 1)) AS u (n)
    WHERE r.shop = $shop AND r.return_state NOT IN ('REFUSED', 'CANCELED')
),
waiting AS (
    SELECT
        n.shop, n.return_id, n.order_line_id, n.unit_no,
        row_number() OVER (
            PARTITION BY n.shop, n.order_line_id ORDER BY n.created_at, n.return_id, n.unit_no
        ) AS place
    FROM announced AS n
),
touched AS (
    SELECT w.shop, w.order_line_id, count(*) AS wanted
    FROM waiting AS w
    GROUP BY w.shop, w.order_line_id
),
taken AS (
    SELECT a.shop, a.order_line_id, a.ordinal
    FROM lake.core.return_unit_assignments AS a
    INNER JOIN touched AS t ON t.shop = a.shop AND t.order_line_id = a.order_line_id
    INNER JOIN model.return_names AS n ON n.shop = a.shop AND n.name = a.return_id
    INNER JOIN model.return_cases AS c ON c.shop = n.shop AND c.return_id = n.return_id
    LEFT JOIN lake.core.receipt_assignments AS e
        ON e.shop = a.shop AND e.return_unit_id = a.order_line_id || '#' || a.ordinal
    WHERE NOT c.is_void OR e.return_unit_id IS NOT NULL
),
room AS (
    SELECT t.shop, t.order_line_id, t.wanted + coalesce(max(k.ordinal), 0) AS upto
    FROM touched AS t
    LEFT JOIN taken AS k ON k.shop = t.shop AND k.order_line_id = t.order_line_id
    GROUP BY t.shop, t.order_line_id, t.wanted
),
free AS (
    SELECT
        m.shop, m.order_line_id, o.n AS ordinal,
        row_number() OVER (PARTITION BY m.shop, m.order_line_id ORDER BY o.n) AS place
    FROM room AS m
    CROSS JOIN unnest(range(1, m.upto + 1)) AS o (n)
    ANTI JOIN taken AS k ON k.shop = m.shop AND k.order_line_id = m.order_line_id AND k.ordinal = o.n
)
SELECT w.shop, w.return_id, w.order_line_id, w.unit_no, f.ordinal, $assigned_at AS assigned_at
FROM waiting AS w
INNER JOIN free AS f ON f.shop = w.shop AND f.order_line_id = w.order_line_id AND f.place = w.place;
