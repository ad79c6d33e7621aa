-- I6: refunds by our intents = by the marketplace = by the log, or the difference has a code other than UNKNOWN.
-- A row is a row of lake.recon.refund_three_way.
SELECT
    currency,
    match_key AS subject,
    verdict AS detail,
    difference_minor,
    verdict = 'UNKNOWN' OR (verdict = 'MATCHED' AND difference_minor <> 0) AS is_failing
FROM lake.recon.refund_three_way
WHERE shop = $shop AND month = $month
