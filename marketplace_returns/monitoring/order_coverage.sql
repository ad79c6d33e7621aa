-- One row per order that may be shipped, with where it is (R89, R96): in_warehouse, excepted (an open exception names it),
-- on_its_way (a write is planned, sent or unclear and it is not late yet) or missing. Key: order_id; those that miss first.
-- Invariant: shippable = in_warehouse + excepted + on_its_way + missing. Source: OR11, Peoplevox Sales orders, the ledger.
WITH shippable AS (
    SELECT
        o.order_id, o.currency, o.total_price_minor, o.shipping_deadline_at, o.is_in_warehouse,
        coalesce(o.customer_debited_at, o.created_at) AS shippable_since
    FROM model.orders AS o
    WHERE o.shop = $shop AND o.order_state = 'SHIPPING' AND $warehouse <> ''
),
excepted AS (
    SELECT
        json_extract_string(entity, '$.order_id') AS order_id, min(type) AS type, min(owner) AS owner,
        bool_and(lane = 'monitoring/order_coverage') AS is_named_here
    FROM ledger.cases
    WHERE
        shop = $shop AND resolved_at IS NULL
        AND type IN ('WMS_ORDER_FAILED', 'WMS_ORDER_MISSING', 'SKU_UNMAPPED')
    GROUP BY ALL
)
SELECT
    s.order_id,
    CASE
        WHEN s.is_in_warehouse THEN 'in_warehouse'
        WHEN e.order_id IS NOT NULL THEN 'excepted'
        WHEN s.shippable_since >= $missing_before THEN 'on_its_way'
        WHEN w.state IN ('CONFIRMED', 'REFLECTED', 'SETTLED') AND w.confirmed_at >= $missing_before THEN 'on_its_way'
        ELSE 'missing'
    END AS state,
    w.state AS write_state,
    e.type AS exception_type,
    e.owner,
    coalesce(e.is_named_here, false) AS is_named_here,
    s.currency,
    s.total_price_minor AS value_minor,
    s.shippable_since,
    s.shipping_deadline_at,
    date_diff('hour', s.shippable_since, $now) AS age_hours
FROM shippable AS s
LEFT JOIN excepted AS e ON e.order_id = s.order_id
LEFT JOIN ledger.writes AS w
    ON w.shop = $shop AND w.kind = 'create_warehouse_order' AND w.natural_key = s.order_id
ORDER BY state = 'missing' DESC, state = 'excepted' DESC, s.shippable_since, s.order_id;
