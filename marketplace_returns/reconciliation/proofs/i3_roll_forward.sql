-- I3: opening + movements = closing, and opening is what the month before closed with (where that month is kept), of the control account
-- and of the reserve, whose movements are those of the control account. A row is a currency and one of these equations.
-- Source: lake.recon.control_roll_forward, reserve_roll_forward.
WITH reserve AS (
    SELECT
        currency,
        sum(CASE WHEN component = 'closing' THEN -amount_minor ELSE amount_minor END) AS difference_minor,
        coalesce(sum(amount_minor) FILTER (component = 'opening'), 0) AS opening,
        coalesce(sum(amount_minor) FILTER (component IN ('held', 'released')), 0) AS moved
    FROM lake.recon.reserve_roll_forward
    WHERE shop = $shop AND month = $month
    GROUP BY currency
),
reserve_before AS (
    SELECT currency, amount_minor
    FROM lake.recon.reserve_roll_forward
    WHERE
        shop = $shop AND month = $previous_month AND component = 'closing'
        AND EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $month)
),
reserve_moved AS (
    SELECT currency, amount_minor FROM lake.recon.control_roll_forward WHERE shop = $shop AND month = $month AND component = 'reserve'
),
rolled AS (
    SELECT
        currency,
        CAST(sum(CASE WHEN component = 'closing' THEN -amount_minor ELSE amount_minor END) AS BIGINT) AS difference_minor,
        CAST(sum(CASE WHEN component = 'opening' THEN amount_minor ELSE 0 END) AS BIGINT) AS opening
    FROM lake.recon.control_roll_forward
    WHERE shop = $shop AND month = $month
    GROUP BY currency
)
SELECT currency, 'opening + movements = closing' AS subject, '' AS detail, difference_minor, difference_minor <> 0 AS is_failing
FROM rolled
UNION ALL
SELECT r.currency, 'opening = closing of ' || p.month, '', r.opening - p.amount_minor, r.opening <> p.amount_minor
FROM rolled AS r
INNER JOIN lake.recon.control_roll_forward AS p
    ON p.shop = $shop AND p.month = $previous_month AND p.currency = r.currency AND p.component = 'closing'
UNION ALL
SELECT currency, 'reserve opening + held + released = closing', '', CAST(difference_minor AS BIGINT), difference_minor <> 0
FROM reserve
UNION ALL
SELECT
    coalesce(r.currency, c.currency),
    'reserve held and released = reserve of the control account',
    '',
    CAST(coalesce(r.moved, 0) + coalesce(c.amount_minor, 0) AS BIGINT),
    coalesce(r.moved, 0) + coalesce(c.amount_minor, 0) <> 0
FROM reserve AS r
FULL OUTER JOIN reserve_moved AS c ON c.currency = r.currency
UNION ALL
SELECT
    coalesce(r.currency, p.currency),
    'reserve opening = closing of ' || $previous_month,
    '',
    CAST(coalesce(r.opening, 0) - coalesce(p.amount_minor, 0) AS BIGINT),
    coalesce(r.opening, 0) <> coalesce(p.amount_minor, 0)
FROM reserve AS r
FULL OUTER JOIN reserve_before AS p ON p.currency = r.currency
WHERE EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $previous_month)
