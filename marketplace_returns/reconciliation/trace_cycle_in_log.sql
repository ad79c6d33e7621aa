-- One row per payout cycle of a number that the log names and no statement, as the month that told of it has it. Key: (shop, billing_cycle_id, currency).
-- Source: payout_proof; to ask the log itself would be to read all of it.
SELECT DISTINCT
    shop,
    billing_cycle_id,
    currency,
    max(date_created) AS created_at,
    'NOT_ON_STATEMENT' AS pay_out_state
FROM lake.recon.payout_proof
WHERE billing_cycle_id = $number AND pay_out_state = 'NOT_ON_STATEMENT'
GROUP BY shop, billing_cycle_id, currency
ORDER BY shop, currency;
