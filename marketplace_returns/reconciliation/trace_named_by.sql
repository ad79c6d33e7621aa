-- One row per row of a month-end table that names a line of the transaction log, and per journal that posts it. Key: (table_name, month, reference).
-- Source: the months as they were closed last. A line is posted in the month it was created in, by the journal of its cycle or, where that
-- was closed after the month, by the open one; the cycle's own journal then carries it. words is what the row says of it.
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
SELECT DISTINCT 'journal_lines', month, journal_id, 'posts it'
FROM lake.recon.journal_lines
WHERE
    shop = $shop AND currency = $currency
    AND (reference = $billing_cycle_id AND month IN ($month, $cycle_month) OR reference = 'open' AND month = $month AND coalesce($cycle_month > $month, true))
ORDER BY month, table_name, reference;
