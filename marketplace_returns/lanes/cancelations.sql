-- One row per order on which a cancelation met something else (R54). Key: (order_id, race). Source: model.orders,
-- model.order_lines, core.mirakl__cancelations, model.despatches, core.mirakl__refunds, model.return_cases.
-- An order is in the warehouse still only where our own cancelation of it had its time ($taken_off_before).
-- cancelled_at, other_at: when both happened (or were last seen changed); units: units concerned; happened: parcels or refunds,
-- where the race is of what cannot un-happen (else null).
WITH cancelled AS (
    SELECT order_id, order_line_id, CAST(sum(coalesce(quantity, 0)) AS BIGINT) AS quantity, max(created_at) AS cancelled_at
    FROM lake.core.mirakl__cancelations
    WHERE shop = $shop
    GROUP BY order_id, order_line_id
),
ended AS (
    SELECT o.order_id, o.order_state, o.currency, o.updated_at, o.is_in_warehouse, o.warehouse_status, o.seen_in_warehouse_at
    FROM model.orders AS o
    WHERE o.shop = $shop AND o.order_state IN ('CANCELED', 'REFUSED')
),
warehouse_words AS (
    SELECT upper(source_code) AS status FROM mapping.statuses WHERE source_system = 'peoplevox' AND canonical = 'cancelled'
),
left_parcels AS (
    SELECT d.order_id, d.item_code, d.despatch_number, CAST(sum(d.quantity) AS BIGINT) AS units, min(d.despatched_at) AS despatched_at
    FROM model.despatches AS d
    WHERE d.shop = $shop
    GROUP BY d.order_id, d.item_code, d.despatch_number
),
left_items AS (
    SELECT
        order_id, item_code, CAST(sum(units) AS BIGINT) AS units, min(despatched_at) AS despatched_at,
        string_agg(units || ' x ' || item_code || ' in parcel ' || despatch_number, ', ' ORDER BY despatch_number) AS parcels
    FROM left_parcels
    GROUP BY order_id, item_code
),
left_orders AS (
    SELECT
        order_id, CAST(sum(units) AS BIGINT) AS units, min(despatched_at) AS despatched_at,
        string_agg(parcels, ', ' ORDER BY item_code) AS parcels
    FROM left_items
    GROUP BY order_id
),
-- Units still on the order, by item of which some were cancelled: what is despatched beyond them should not have left.
kept AS (
    SELECT
        l.order_id,
        l.item_code,
        CAST(coalesce(sum(l.quantity) FILTER (WHERE l.line_state NOT IN ('REFUSED', 'CANCELED')), 0) AS BIGINT) AS units,
        max(coalesce(c.cancelled_at, CASE WHEN l.line_state IN ('REFUSED', 'CANCELED') THEN l.updated_at END)) AS cancelled_at
    FROM model.order_lines AS l
    LEFT JOIN cancelled AS c ON c.order_line_id = l.order_line_id
    WHERE l.shop = $shop
    GROUP BY l.order_id, l.item_code
    HAVING bool_or(c.order_line_id IS NOT NULL OR l.line_state IN ('REFUSED', 'CANCELED'))
),
races AS (
    SELECT
        'despatched' AS race, e.order_id, e.order_state, e.warehouse_status, e.updated_at AS cancelled_at, d.despatched_at AS other_at,
        d.units, e.currency, d.parcels AS happened
    FROM ended AS e
    INNER JOIN left_orders AS d ON d.order_id = e.order_id
    UNION ALL
    SELECT
        'in warehouse', e.order_id, e.order_state, e.warehouse_status, e.updated_at, e.seen_in_warehouse_at, NULL, e.currency, NULL
    FROM ended AS e
    ANTI JOIN left_orders AS d ON d.order_id = e.order_id
    ANTI JOIN warehouse_words AS w ON w.status = upper(e.warehouse_status)
    WHERE e.is_in_warehouse AND e.updated_at <= $taken_off_before
    UNION ALL
    SELECT
        'part despatched', k.order_id, o.order_state, o.warehouse_status, max(k.cancelled_at), min(d.despatched_at),
        CAST(sum(d.units - k.units) AS BIGINT), o.currency,
        string_agg(d.parcels || ', ' || k.units || ' wanted', '; ' ORDER BY d.item_code)
    FROM kept AS k
    INNER JOIN left_items AS d ON d.order_id = k.order_id AND d.item_code = k.item_code AND d.units > k.units
    INNER JOIN model.orders AS o ON o.shop = $shop AND o.order_id = k.order_id AND o.order_state NOT IN ('CANCELED', 'REFUSED')
    GROUP BY k.order_id, o.order_state, o.warehouse_status, o.currency
    UNION ALL
    SELECT
        'warehouse cancelled', o.order_id, o.order_state, o.warehouse_status, o.seen_in_warehouse_at, o.customer_debited_at, NULL, o.currency, NULL
    FROM model.orders AS o
    INNER JOIN warehouse_words AS w ON w.status = upper(o.warehouse_status)
    WHERE o.shop = $shop AND o.order_state = 'SHIPPING'
    UNION ALL
    SELECT
        'refunded', c.order_id, o.order_state, o.warehouse_status, max(c.cancelled_at), max(r.created_at), CAST(sum(c.quantity) AS BIGINT),
        o.currency, string_agg(DISTINCT 'refund ' || r.refund_id, ', ' ORDER BY 'refund ' || r.refund_id)
    FROM cancelled AS c
    INNER JOIN model.orders AS o ON o.shop = $shop AND o.order_id = c.order_id
    INNER JOIN lake.core.mirakl__refunds AS r ON r.shop = $shop AND r.order_line_id = c.order_line_id
    WHERE abs(date_diff('second', c.cancelled_at, r.created_at)) <= $at_once_s
    GROUP BY c.order_id, o.order_state, o.warehouse_status, o.currency
    UNION ALL
    SELECT
        'returned', e.order_id, e.order_state, e.warehouse_status, e.updated_at, min(c.created_at), NULL, e.currency, NULL
    FROM ended AS e
    INNER JOIN model.return_cases AS c ON c.shop = $shop AND c.order_id = e.order_id AND NOT c.is_ended
    GROUP BY e.order_id, e.order_state, e.warehouse_status, e.updated_at, e.currency
)
SELECT
    r.*,
    (
        SELECT CAST(coalesce(sum(l.total_price_minor), 0) AS BIGINT) FROM model.order_lines AS l
        WHERE l.shop = $shop AND l.order_id = r.order_id
    ) AS amount_minor
FROM races AS r
ORDER BY r.cancelled_at, r.order_id, r.race;
