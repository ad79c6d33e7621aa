-- One row per amount that a payout may miss or be held for, with its age and owner (R119): despatched_not_confirmed (a line
-- that left and is not confirmed), refund_waiting_for_balance (R101). Key: (kind, reference); largest first.
-- Source: despatch_vs_shipped, refunds of the ledger. Invariant: its sum is the sum of the two lists.
SELECT
    'despatched_not_confirmed' AS kind,
    order_line_id AS reference,
    order_id,
    currency,
    value_minor AS amount_minor,
    since,
    age_hours,
    owner
FROM watch.despatch_vs_shipped
WHERE state = 'DESPATCHED_NOT_SHIPPED'
UNION ALL
SELECT
    'refund_waiting_for_balance', return_unit_id, order_id, currency, amount_minor, planned_at,
    date_diff('hour', planned_at, $now), 'finance'
FROM ledger.writes
WHERE shop = $shop AND kind = 'refund' AND state IN ('PLANNED', 'REJECTED') AND root_cause = 'balance'
ORDER BY amount_minor DESC, reference;
