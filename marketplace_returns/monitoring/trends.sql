-- One row per week: how returns fare (R80, R77). Key: week (its Monday, shop's zone); newest first.
-- return_percent: units announced on a return of the units ordered that week; touchless_percent: orders of the week that no person
-- had to touch: no exception is open or was closed by hand, no write was adopted (made by hand); hours: from the request to the customer's money;
-- exceptions: opened that week, how many are open still and the age of the oldest. Source: the model, the ledger.
WITH ordered AS (
    SELECT
        CAST(date_trunc('week', timezone($time_zone, o.created_at)) AS DATE) AS week, o.order_id, l.order_line_id, l.quantity
    FROM model.orders AS o
    INNER JOIN model.order_lines AS l ON l.shop = o.shop AND l.order_id = o.order_id
    WHERE o.shop = $shop AND o.created_at >= $weeks_from AND l.line_state NOT IN ('REFUSED', 'CANCELED')
),
announced AS (
    SELECT order_line_id, count(*) AS units FROM model.return_units WHERE shop = $shop AND NOT is_void GROUP BY ALL
),
touched AS (
    SELECT json_extract_string(entity, '$.order_id') AS order_id FROM ledger.cases
    WHERE shop = $shop AND (resolved_at IS NULL OR was_closed_by_hand)
    UNION
    SELECT order_id FROM ledger.writes WHERE shop = $shop AND is_adopted
),
refunded AS (
    SELECT
        CAST(date_trunc('week', timezone($time_zone, min(coalesce(r.paid_at, r.created_at)))) AS DATE) AS week,
        date_diff('hour', min(u.requested_at), min(coalesce(r.paid_at, r.created_at))) AS hours
    FROM model.return_units AS u
    INNER JOIN model.refunds AS r ON r.shop = u.shop AND r.order_line_id = u.order_line_id
    WHERE u.shop = $shop AND r.created_at >= u.requested_at
    GROUP BY u.return_unit_id
),
cases AS (
    SELECT
        CAST(date_trunc('week', timezone($time_zone, opened_at)) AS DATE) AS week,
        count(*) AS opened,
        count(*) FILTER (resolved_at IS NULL) AS still_open,
        max(date_diff('hour', opened_at, coalesce(resolved_at, $now))) AS oldest_hours
    FROM ledger.cases
    WHERE shop = $shop AND opened_at >= $weeks_from
    GROUP BY ALL
),
orders AS (
    SELECT
        o.week,
        count(DISTINCT o.order_id) AS orders,
        CAST(sum(o.quantity) AS BIGINT) AS units,
        CAST(coalesce(sum(a.units), 0) AS BIGINT) AS returned_units,
        count(DISTINCT o.order_id) FILTER (t.order_id IS NULL) AS touchless
    FROM ordered AS o
    LEFT JOIN announced AS a ON a.order_line_id = o.order_line_id
    LEFT JOIN touched AS t ON t.order_id = o.order_id
    GROUP BY ALL
),
money AS (
    SELECT week, count(*) AS refunds, CAST(quantile_disc(hours, 0.5) AS BIGINT) AS p50, CAST(quantile_disc(hours, 0.95) AS BIGINT) AS p95
    FROM refunded GROUP BY ALL
)
SELECT
    week,
    coalesce(o.orders, 0) AS orders,
    coalesce(o.units, 0) AS units,
    coalesce(o.returned_units, 0) AS returned_units,
    CAST(round(100 * o.returned_units / o.units, 1) AS DECIMAL(5, 1)) AS return_percent,
    CAST(round(100 * o.touchless / o.orders, 1) AS DECIMAL(5, 1)) AS touchless_percent,
    coalesce(m.refunds, 0) AS refunds,
    m.p50 AS refund_hours_p50,
    m.p95 AS refund_hours_p95,
    coalesce(c.opened, 0) AS exceptions_opened,
    coalesce(c.still_open, 0) AS exceptions_open,
    c.oldest_hours AS exception_hours_max
FROM orders AS o
FULL JOIN money AS m USING (week)
FULL JOIN cases AS c USING (week)
ORDER BY week DESC;
