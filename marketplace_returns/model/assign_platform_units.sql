-- Rows to add to core.return_unit_assignments: new units of returns that were opened on the platform, where returns begin there
-- (policy return_origin), in the order they were opened. An item that names its order line takes that line's next free ordinals,
-- any other the next free ones of the order's lines of its SKU; beyond what was sold, ordinals above the first line's quantity.
-- Units the return has already, under whichever name, count. While items of an order name their lines, its others wait a pass.
WITH cases AS (
    SELECT c.*, coalesce(c.return_state, '') = '' AS is_platform_only
    FROM model.return_cases AS c
    INNER JOIN setting.shops AS s ON s.shop = c.shop AND s.begins_on_platform
    WHERE c.shop = $shop AND c.platform_return_id IS NOT NULL AND NOT c.is_void
),
wanted AS (
    SELECT
        c.shop, c.return_id, c.order_id, c.created_at,
        coalesce(l.order_line_id, '') AS order_line_id,
        coalesce(l.offer_sku, i.sku) AS sku,
        CAST(sum(i.quantity) AS BIGINT) AS quantity
    FROM cases AS c
    INNER JOIN reported.items AS i ON i.shop = c.shop AND i.platform_return_id = c.platform_return_id
    LEFT JOIN model.order_lines AS l ON l.shop = c.shop AND l.order_id = c.order_id AND l.order_line_id = i.order_line_id
    GROUP BY ALL
),
given AS (
    SELECT a.shop, n.return_id, a.order_line_id, l.offer_sku AS sku, a.ordinal, NOT c.is_void OR e.return_unit_id IS NOT NULL AS is_taken
    FROM lake.core.return_unit_assignments AS a
    INNER JOIN model.return_names AS n ON n.shop = a.shop AND n.name = a.return_id
    INNER JOIN model.return_cases AS c ON c.shop = n.shop AND c.return_id = n.return_id
    INNER JOIN model.order_lines AS l ON l.shop = a.shop AND l.order_line_id = a.order_line_id
    LEFT JOIN lake.core.receipt_assignments AS e ON e.shop = a.shop AND e.return_unit_id = a.order_line_id || '#' || a.ordinal
    WHERE a.shop = $shop AND l.order_id IN (SELECT order_id FROM cases)
),
lacking AS (
    SELECT
        w.*,
        w.quantity - (
            SELECT count(*) FROM given AS g
            WHERE g.return_id = w.return_id AND CASE WHEN w.order_line_id = '' THEN g.sku = w.sku ELSE g.order_line_id = w.order_line_id END
        ) AS units
    FROM wanted AS w
),
units AS (
    SELECT
        k.shop, k.return_id, k.order_id, k.order_line_id, k.sku,
        row_number() OVER (PARTITION BY k.order_id, k.order_line_id, k.sku ORDER BY k.created_at, k.return_id, u.n) AS place
    FROM lacking AS k
    CROSS JOIN unnest(range(1, k.units + 1)) AS u (n)
    WHERE k.units > 0 AND (k.order_line_id <> '' OR k.order_id NOT IN (SELECT order_id FROM lacking WHERE order_line_id <> '' AND units > 0))
),
asked AS (
    SELECT order_id, order_line_id, sku, max(place) AS units
    FROM units
    GROUP BY order_id, order_line_id, sku
),
slots AS (
    SELECT
        k.order_id, k.order_line_id, k.sku, l.order_line_id AS of_line, o.n AS ordinal,
        row_number() OVER (
            PARTITION BY k.order_id, k.order_line_id, k.sku ORDER BY o.n > l.quantity, l.line_index, l.order_line_id, o.n
        ) AS place
    FROM asked AS k
    INNER JOIN model.order_lines AS l
        ON l.shop = $shop AND l.order_id = k.order_id AND l.offer_sku = k.sku AND (k.order_line_id = '' OR l.order_line_id = k.order_line_id)
    CROSS JOIN unnest(range(1, l.quantity + k.units + (SELECT count(*) FROM given AS g WHERE g.order_line_id = l.order_line_id) + 1)) AS o (n)
    ANTI JOIN given AS g ON g.is_taken AND g.order_line_id = l.order_line_id AND g.ordinal = o.n
),
placed AS (
    SELECT u.shop, u.return_id, s.of_line AS order_line_id, s.ordinal
    FROM units AS u
    INNER JOIN slots AS s ON s.order_id = u.order_id AND s.order_line_id = u.order_line_id AND s.sku = u.sku AND s.place = u.place
)
SELECT
    p.shop,
    p.return_id,
    p.order_line_id,
    (
        SELECT coalesce(max(a.unit_no), 0) FROM lake.core.return_unit_assignments AS a
        WHERE a.shop = p.shop AND a.return_id = p.return_id AND a.order_line_id = p.order_line_id
    ) + row_number() OVER (PARTITION BY p.return_id, p.order_line_id ORDER BY p.ordinal) AS unit_no,
    p.ordinal,
    $assigned_at AS assigned_at
FROM placed AS p;
