-- One row per refund intent that is settled: its ledger lines are in a payout cycle (TL02).
-- Source: core.mirakl__transactions. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__transactions AS t ON t.shop = $shop AND t.refund_id = w.external_ref
WHERE w.kind = 'refund'
GROUP BY w.intent_id
HAVING bool_and(coalesce(t.billing_cycle_id, '') <> '')
