-- Log lines of earlier months that the last signed month did not know, or knew otherwise: they are posted in this month (R111).
-- Key: transaction_id; subject_id is the order line or refund it is booked on. Source: TL02 as it is, beside TL02 as the signed month
-- saw it (version $locked_version of the lake). Only lines that were read since $locked_at can differ. Invariant: what this month opens
-- with and these lines together are the log before it.
CREATE OR REPLACE TABLE late_lines AS
WITH read_since AS (
    SELECT
        transaction_id,
        currency,
        billing_cycle_id,
        transaction_type,
        booked_subject(transaction_type, order_line_id, refund_id, transaction_id) AS subject_id,
        created_at,
        CASE WHEN payment_state = 'NOT_APPLICABLE' THEN 0 ELSE amount_minor END AS amount_minor
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND created_at < $month_start AND fetched_at >= $locked_at
),
known AS (
    SELECT
        k.transaction_id,
        CASE WHEN k.payment_state = 'NOT_APPLICABLE' THEN 0 ELSE k.amount_minor END AS amount_minor
    FROM (SELECT * FROM lake.core.mirakl__transactions AT (VERSION => $locked_version)) AS k
    SEMI JOIN read_since AS r ON r.transaction_id = k.transaction_id
    WHERE k.shop = $shop AND k.created_at < $month_start
)
SELECT
    r.transaction_id,
    r.currency,
    r.billing_cycle_id,
    r.transaction_type,
    r.subject_id,
    r.created_at,
    r.amount_minor - coalesce(k.amount_minor, 0) AS amount_minor,
    k.transaction_id IS NULL AS is_new
FROM read_since AS r
LEFT JOIN known AS k ON k.transaction_id = r.transaction_id
WHERE r.amount_minor <> coalesce(k.amount_minor, 0);
