-- What the reviewer metrics of a shop's month count. Key: (measure, currency, original_month). Source: the month as the pack shows it.
-- matched, in_time, unmatched: the rows of payout_proof, order_vs_ledger and refund_three_way, each in one of them. matched agrees to the
-- minor unit; in_time is right and only not over yet (is_in_time); unmatched is all else, also what is only named (ROUNDING,
-- MANUAL_PORTAL_REFUND), for its money is left. Matching is by key alone and a reason matches nothing, so no row is matched by a person.
-- value_unmatched: the amounts of aged_unmatched that are not only timing, without their signs. adjusted: prior_period_adjustments, with them.
-- Invariant: matched are all rows less those of aged_unmatched, so nothing is 100 % while aged_unmatched has a row.
WITH items AS (
    SELECT status = 'PROVEN' AS is_matched, CASE WHEN status = 'OPEN' THEN 'PAYOUT_OPEN' ELSE 'PAYOUT' END AS kind
    FROM shown_payout_proof
    WHERE shop = $shop
    UNION ALL
    SELECT variance_code = '', variance_code
    FROM shown_order_vs_ledger
    WHERE shop = $shop
    UNION ALL
    SELECT verdict = 'MATCHED', verdict
    FROM shown_refund_three_way
    WHERE shop = $shop
)
SELECT
    CASE WHEN is_matched THEN 'matched' WHEN is_in_time(kind) THEN 'in_time' ELSE 'unmatched' END AS measure,
    '' AS currency,
    '' AS original_month,
    count(*) AS rows,
    0 AS amount_minor
FROM items
GROUP BY measure
UNION ALL
SELECT 'value_unmatched', currency, '', count(*), CAST(sum(abs(amount_minor)) AS BIGINT)
FROM shown_aged_unmatched
WHERE shop = $shop AND NOT is_in_time(kind)
GROUP BY currency
UNION ALL
SELECT 'adjusted', currency, original_month, count(*), CAST(sum(amount_minor) AS BIGINT)
FROM shown_prior_period_adjustments
WHERE shop = $shop
GROUP BY currency, original_month
ORDER BY ALL;
