-- The months whose journals have a payout cycle, in one currency, oldest first, and whether it carries lines of earlier months. Key: month.
-- Source: the months as they were closed last.
SELECT month, bool_or(description = $carried) AS is_carried
FROM lake.recon.journal_lines
WHERE shop = $shop AND currency = $currency AND reference = $billing_cycle_id
GROUP BY month
ORDER BY month;
