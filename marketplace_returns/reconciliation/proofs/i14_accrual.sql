-- I14: the refund liability rolls from opening to closing, its stages add up to it, and it opens as the month before closed.
-- A row is a currency and one of these equations. Source: lake.recon.refund_accrual_bridge.
WITH rolled AS (
    SELECT
        currency,
        sum(CASE WHEN line = 'liability_closing' THEN -amount_minor WHEN line LIKE 'liability_%' THEN amount_minor ELSE 0 END) AS movement,
        sum(CASE WHEN line LIKE 'closing_%' THEN amount_minor WHEN line = 'liability_closing' THEN -amount_minor ELSE 0 END) AS stages,
        sum(CASE WHEN line = 'liability_opening' THEN amount_minor ELSE 0 END) AS opening
    FROM lake.recon.refund_accrual_bridge
    WHERE shop = $shop AND month = $month
    GROUP BY currency
)
SELECT currency, 'opening + movements = closing' AS subject, '' AS detail, CAST(movement AS BIGINT) AS difference_minor, movement <> 0 AS is_failing
FROM rolled
UNION ALL
SELECT currency, 'stages = closing', '', CAST(stages AS BIGINT), stages <> 0
FROM rolled
