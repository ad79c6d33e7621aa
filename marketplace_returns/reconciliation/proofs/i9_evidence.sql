-- I9: every confirmed refund of ours has a receipt before its request, or a policy that refunds without one: at receipt or
-- carrier scan, or at the deadline (SLA_FORCED, which the three-way table still shows until the parcel comes).
-- A row is a refund of the month that an intent of ours made. Source: lake.recon.refund_three_way.
SELECT
    currency,
    match_key AS subject,
    CASE WHEN evidence_class = 'SLA_FORCED' THEN verdict || ' (SLA_FORCED)' ELSE verdict END AS detail,
    CASE WHEN verdict = 'REFUND_WITHOUT_RECEIPT' AND evidence_class <> 'SLA_FORCED' THEN intended_amount_minor ELSE 0 END AS difference_minor,
    verdict = 'REFUND_WITHOUT_RECEIPT' AND evidence_class <> 'SLA_FORCED' AS is_failing
FROM lake.recon.refund_three_way
WHERE shop = $shop AND month = $month AND intended_amount_minor IS NOT NULL
