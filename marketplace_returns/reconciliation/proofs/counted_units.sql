-- counted_units(of_shop, of_inspector): what was announced or came, counted from the core tables and not from what a close makes, so that
-- proofs hold a close against it (I8, I14). Key: (return_unit_id, return_id). paid_at: when it was paid back, by us (the first confirmed
-- refund of the unit) or by hand: the units of refunds that are not ours are the line's others, in the order they came in.
-- ended_at: when its return was refused or called off; of those only units that came take part in what was paid by hand.
CREATE OR REPLACE TEMP MACRO counted_units(of_shop, of_inspector) AS TABLE
WITH came AS (
    SELECT
        a.return_unit_id,
        a.return_id,
        CASE WHEN a.matched_by = 'wrong_item' THEN 'wrong_item' ELSE e.disposition END AS disposition,
        e.inspected_at
    FROM lake.core.receipt_assignments AS a
    INNER JOIN (SELECT * FROM model.receipts WHERE shop = of_shop AND source_system = of_inspector) AS e
        ON e.receipt_event_id = a.receipt_event_id AND e.unit_no = a.unit_no
    WHERE a.shop = of_shop
),
returns AS (
    SELECT return_id, rma, return_state, created_at, updated_at FROM lake.core.mirakl__returns WHERE shop = of_shop
),
platform AS (
    SELECT
        p.platform || ':' || p.platform_return_id AS return_id,
        p.platform_return_id,
        p.created_at,
        p.updated_at,
        p.shipped_at,
        p.external_id,
        coalesce(s.canonical IN ('cancelled', 'rejected'), false) AS is_off
    FROM reported.returns AS p
    LEFT JOIN mapping.statuses AS s ON s.source_system = p.platform AND upper(s.source_code) = upper(p.platform_status)
    WHERE p.shop = of_shop
),
twins AS (
    SELECT rma, min(return_id) AS return_id, min_by(created_at, return_id) AS created_at
    FROM returns
    WHERE rma IS NOT NULL AND return_state NOT IN ('REFUSED', 'CANCELED')
    GROUP BY rma
),
scans AS (
    SELECT coalesce(external_id, return_id) AS return_id, min(created_at) AS created_at, min(shipped_at) AS shipped_at
    FROM platform
    GROUP BY ALL
),
given AS (
    SELECT return_id, order_line_id || '#' || ordinal AS return_unit_id, order_line_id, ordinal
    FROM lake.core.return_unit_assignments
    WHERE shop = of_shop
),
announced AS (
    SELECT
        g.return_unit_id,
        g.order_line_id,
        g.ordinal,
        g.return_id,
        g.return_id AS own_return_id,
        r.created_at AS requested_at,
        r.return_state = 'REFUSED' AS is_refused,
        CASE WHEN r.return_state IN ('REFUSED', 'CANCELED') THEN r.updated_at END AS ended_at
    FROM given AS g
    INNER JOIN returns AS r ON r.return_id = g.return_id
    UNION ALL
    SELECT
        g.return_unit_id,
        g.order_line_id,
        g.ordinal,
        g.return_id,
        coalesce(t.return_id, g.return_id),
        t.created_at,
        false,
        CASE WHEN t.return_id IS NULL AND p.is_off THEN p.updated_at END
    FROM given AS g
    INNER JOIN platform AS p ON p.return_id = g.return_id
    LEFT JOIN twins AS t ON t.rma = p.platform_return_id
    WHERE g.return_id LIKE '%:%'
),
units AS (
    SELECT
        coalesce(c.return_unit_id, a.return_unit_id) AS return_unit_id,
        coalesce(c.return_id, a.return_id) AS return_id,
        a.own_return_id,
        -- Of a unit that came and that no return announces, the name says which it is.
        coalesce(a.order_line_id, regexp_replace(c.return_unit_id, '#[0-9]+$', '')) AS order_line_id,
        coalesce(a.ordinal, CAST(regexp_extract(c.return_unit_id, '#([0-9]+)$', 1) AS BIGINT)) AS ordinal,
        a.requested_at,
        coalesce(a.is_refused, false) AS is_refused,
        a.ended_at,
        c.disposition,
        c.inspected_at,
        c.return_unit_id IS NULL AND a.ended_at IS NOT NULL AS is_void
    FROM announced AS a
    FULL OUTER JOIN came AS c ON c.return_unit_id = a.return_unit_id AND c.return_id = a.return_id
),
ours AS (
    SELECT return_unit_id, min(sent_at) AS sent_at FROM ledger.confirmed_refunds WHERE return_unit_id <> '' GROUP BY return_unit_id
),
by_hand AS (
    SELECT
        order_line_id,
        created_at AS paid_at,
        row_number() OVER (PARTITION BY order_line_id ORDER BY created_at) AS place
    FROM (
        SELECT r.order_line_id, r.created_at, unnest(range(greatest(coalesce(r.quantity, 1), 1)))
        FROM lake.core.mirakl__refunds AS r
        ANTI JOIN ledger.confirmed_refunds AS i ON i.refund_id = r.refund_id
        WHERE r.shop = of_shop
    )
),
taken AS (
    SELECT u.return_unit_id, u.return_id, b.paid_at
    FROM (
        SELECT
            u.return_unit_id,
            u.return_id,
            u.order_line_id,
            row_number() OVER (PARTITION BY u.order_line_id ORDER BY u.inspected_at NULLS LAST, u.ordinal) AS place
        FROM units AS u
        SEMI JOIN by_hand AS b ON b.order_line_id = u.order_line_id
        ANTI JOIN ours AS o ON o.return_unit_id = u.return_unit_id
        WHERE NOT u.is_void
    ) AS u
    INNER JOIN by_hand AS b ON b.order_line_id = u.order_line_id AND b.place = u.place
)
SELECT
    u.* EXCLUDE (own_return_id, requested_at),
    coalesce(u.requested_at, s.created_at, u.inspected_at) AS requested_at,
    s.shipped_at,
    -- An ordinal whose return was called off is free again: what was paid since is of another return.
    coalesce(CASE WHEN NOT u.is_void OR o.sent_at < u.ended_at THEN o.sent_at END, t.paid_at) AS paid_at
FROM units AS u
LEFT JOIN ours AS o ON o.return_unit_id = u.return_unit_id
LEFT JOIN taken AS t ON t.return_unit_id = u.return_unit_id AND t.return_id = u.return_id
LEFT JOIN scans AS s ON s.return_id = coalesce(u.own_return_id, u.return_id);
