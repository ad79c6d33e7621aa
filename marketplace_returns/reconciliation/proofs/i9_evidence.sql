-- I9: every confirmed refund of ours has a receipt before its request, or a policy that refunds without one.
-- A row is a refund of the month that an intent of ours made. Source: lake.recon.refund_three_way.
SELECT
    currency,
    match_key AS subject,
    verdict AS detail,
    CASE WHEN verdict = 'REFUND_WITHOUT_RECEIPT' THEN intended_amount_minor ELSE 0 END AS difference_minor,
    verdict = 'REFUND_WITHOUT_RECEIPT' AS is_failing
FROM lake.recon.refund_three_way
WHERE shop = $shop AND month = $month AND intended_amount_minor IS NOT NULL
