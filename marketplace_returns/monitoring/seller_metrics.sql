-- One row per week of ordering: what endangers the seller's rating (R95). Key: week (its Monday, shop's zone); newest first.
-- late_ack: accepted later than a day after the order, or still waiting then; late_ship: confirmed after the shipping deadline,
-- or not yet and past it; cancelled: lines refused or cancelled; refund times: from the receipt to the customer's money.
WITH ordered AS (
    SELECT
        CAST(date_trunc('week', timezone($time_zone, o.created_at)) AS DATE) AS week,
        o.order_id,
        coalesce(o.acceptance_decided_at, CASE WHEN o.order_state = 'WAITING_ACCEPTANCE' THEN $now END)
            > o.created_at + to_hours(CAST($ack_hours AS BIGINT)) AS is_ack_late,
        o.shipping_deadline_at,
        o.order_state
    FROM model.orders AS o
    WHERE o.shop = $shop AND o.created_at >= $weeks_from
),
shipped AS (
    SELECT order_id, max(shipped_at) AS shipped_at, bool_or(line_state IN ('REFUSED', 'CANCELED')) AS is_cancelled
    FROM model.order_lines WHERE shop = $shop GROUP BY ALL
),
refunded AS (
    SELECT u.order_id, date_diff('minute', min(u.received_at), min(coalesce(r.paid_at, r.created_at))) AS minutes
    FROM model.return_units AS u
    INNER JOIN model.refunds AS r ON r.shop = u.shop AND r.order_line_id = u.order_line_id
    WHERE u.shop = $shop AND u.received_at IS NOT NULL AND coalesce(r.paid_at, r.created_at) >= u.received_at
    GROUP BY u.order_id, u.return_unit_id
)
SELECT
    o.week,
    count(DISTINCT o.order_id) AS orders,
    count(DISTINCT o.order_id) FILTER (o.is_ack_late) AS late_acks,
    count(DISTINCT o.order_id) FILTER (
        o.order_state NOT IN ('REFUSED', 'CANCELED')
        AND coalesce(s.shipped_at, $now) > o.shipping_deadline_at
    ) AS late_ships,
    count(DISTINCT o.order_id) FILTER (s.is_cancelled) AS cancelled,
    CAST(round(100 * count(DISTINCT o.order_id) FILTER (s.is_cancelled) / count(DISTINCT o.order_id), 1) AS DECIMAL(5, 1))
        AS cancelled_percent,
    CAST(quantile_disc(r.minutes, 0.5) // 60 AS BIGINT) AS refund_hours_p50,
    CAST(quantile_disc(r.minutes, 0.95) // 60 AS BIGINT) AS refund_hours_p95,
    count(r.minutes) FILTER (r.minutes > $deadline_hours * 60) AS late_refunds
FROM ordered AS o
LEFT JOIN shipped AS s ON s.order_id = o.order_id
LEFT JOIN refunded AS r ON r.order_id = o.order_id
GROUP BY o.week
ORDER BY o.week DESC;
