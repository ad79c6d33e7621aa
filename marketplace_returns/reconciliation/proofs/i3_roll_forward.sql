-- I3: opening + movements = closing, and opening is what the month before closed with (where that month is kept).
-- A row is a currency and one of the two equations. Source: lake.recon.control_roll_forward.
WITH rolled AS (
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
