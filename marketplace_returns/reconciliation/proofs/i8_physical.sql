-- I8: every unit received in the month has a disposition, and received-not-refunded rolls forward: it opens with what the month before
-- closed with (where that month is kept), opening + movements = closing, and closing is what came and is not paid back, counted from the
-- core tables. A row is a received unit, or an equation of a currency; differences are the units' price, their number is in the detail.
-- Source: lake.recon.returns_physical_roll, counted_units (receipts and their units, OR11 refunds, confirmed_refunds), OR11 lines.
WITH goods AS MATERIALIZED (
    SELECT
        coalesce(l.currency, $currency) AS currency,
        u.return_unit_id,
        u.disposition,
        u.inspected_at,
        coalesce(model.unit_share(l.price_minor, u.ordinal, l.quantity), 0) AS value_minor,
        coalesce(u.paid_at < $month_end, false) OR (u.is_refused AND u.ended_at < $month_end) AS is_gone
    FROM counted_units($shop, $inspector) AS u
    LEFT JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = u.order_line_id
    WHERE u.inspected_at < $month_end
),
rolled AS (
    SELECT
        currency,
        coalesce(sum(quantity) FILTER (stage = 'opening'), 0) AS opening_units,
        coalesce(sum(value_minor) FILTER (stage = 'opening'), 0) AS opening_minor,
        coalesce(sum(quantity) FILTER (stage = 'closing'), 0) AS closing_units,
        coalesce(sum(value_minor) FILTER (stage = 'closing'), 0) AS closing_minor,
        coalesce(sum(quantity) FILTER (stage <> 'closing'), 0) AS rolled_units,
        coalesce(sum(value_minor) FILTER (stage <> 'closing'), 0) AS rolled_minor
    FROM lake.recon.returns_physical_roll
    WHERE shop = $shop AND month = $month
    GROUP BY currency
),
closed_before AS (
    SELECT currency, quantity AS units, value_minor
    FROM lake.recon.returns_physical_roll
    WHERE
        shop = $shop AND month = $previous_month AND stage = 'closing'
        AND EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $month)
),
there AS (
    SELECT currency, count(*) AS units, sum(value_minor) AS value_minor FROM goods WHERE NOT is_gone GROUP BY currency
),
equations AS (
    SELECT currency, 'opening + movements = closing' AS subject, rolled_units AS wanted, closing_units AS found, closing_minor - rolled_minor AS difference_minor
    FROM rolled
    UNION ALL
    SELECT
        coalesce(r.currency, t.currency),
        'closing = received and not paid back',
        coalesce(t.units, 0),
        coalesce(r.closing_units, 0),
        coalesce(r.closing_minor, 0) - coalesce(t.value_minor, 0)
    FROM rolled AS r
    FULL OUTER JOIN there AS t ON t.currency = r.currency
    UNION ALL
    SELECT
        coalesce(r.currency, p.currency),
        'opening = closing of ' || $previous_month,
        coalesce(p.units, 0),
        coalesce(r.opening_units, 0),
        coalesce(r.opening_minor, 0) - coalesce(p.value_minor, 0)
    FROM rolled AS r
    FULL OUTER JOIN closed_before AS p ON p.currency = r.currency
    WHERE EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $previous_month)
)
SELECT
    currency,
    return_unit_id AS subject,
    coalesce(disposition, 'no disposition') AS detail,
    CASE WHEN disposition IS NULL THEN value_minor ELSE 0 END AS difference_minor,
    disposition IS NULL AS is_failing
FROM goods
WHERE inspected_at >= $month_start
UNION ALL
SELECT
    currency,
    subject,
    found || ' units of ' || wanted AS detail,
    CAST(difference_minor AS BIGINT) AS difference_minor,
    found <> wanted OR difference_minor <> 0 AS is_failing
FROM equations
