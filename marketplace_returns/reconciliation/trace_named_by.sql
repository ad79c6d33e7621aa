-- One row per row of a month-end table that names a line of the transaction log, and per journal that posts it. Key: (table_name, month, reference).
-- Source: the months as they were closed last. A line is posted in the month it was created in, and what came or changed late of it in the month
-- that adjusts it, by the journal of its cycle or, where it came into that later ($cycle_month), by the open one; the cycle's own journal then
-- carries it. words is what the row says of it.
WITH adjusted AS (
    SELECT month, amount_minor
    FROM lake.recon.prior_period_adjustments
    WHERE shop = $shop AND reference = $transaction_id
),
known AS (
    SELECT $month AS month
    -- What is left without the adjustments is what the line counted when its own month was closed.
    WHERE $counted_minor <> (SELECT coalesce(sum(amount_minor), 0) FROM adjusted)
    UNION ALL
    SELECT month FROM adjusted
),
posted AS (
    SELECT month, $posts AS words FROM known
    UNION ALL
    SELECT $cycle_month, $carries
    FROM known
    WHERE NOT $is_payment
    HAVING min(month) < $cycle_month
)
SELECT 'refund_three_way' AS table_name, month, match_key AS reference, verdict AS words
FROM lake.recon.refund_three_way
WHERE shop = $shop AND match_key = 'log:' || $transaction_id
UNION ALL
SELECT 'aged_unmatched', month, reference, kind
FROM lake.recon.aged_unmatched
WHERE shop = $shop AND reference = 'log:' || $transaction_id
UNION ALL
SELECT 'timing_differences', month, reference, cause
FROM lake.recon.timing_differences
WHERE shop = $shop AND reference = 'log:' || $transaction_id
UNION ALL
SELECT 'manual_portal_actions', month, reference, kind
FROM lake.recon.manual_portal_actions
WHERE shop = $shop AND reference = $transaction_id
UNION ALL
SELECT 'prior_period_adjustments', month, reference, kind
FROM lake.recon.prior_period_adjustments
WHERE shop = $shop AND reference = $transaction_id
UNION ALL
SELECT DISTINCT 'journal_lines', j.month, j.journal_id, p.words
FROM lake.recon.journal_lines AS j
INNER JOIN posted AS p ON p.month = j.month
WHERE j.shop = $shop AND j.currency = $currency AND j.reference = CASE WHEN $cycle_month <= p.month THEN $billing_cycle_id ELSE 'open' END
ORDER BY month, table_name, reference, words;
