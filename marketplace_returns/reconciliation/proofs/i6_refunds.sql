-- I6: refunds by our intents = by the marketplace = by the log, or the difference has a code other than UNKNOWN; one that is
-- called rounding is within the tolerance at each of the two steps.
-- A row is a row of lake.recon.refund_three_way.
SELECT
    currency,
    match_key AS subject,
    verdict AS detail,
    difference_minor,
    verdict = 'UNKNOWN'
    OR difference_minor > CASE verdict
        WHEN 'MATCHED' THEN 0
        WHEN 'ROUNDING' THEN 2 * stage.tolerance($shop, 'refund', currency)
        ELSE difference_minor
    END AS is_failing
FROM lake.recon.refund_three_way
WHERE shop = $shop AND month = $month
