-- Log lines of earlier months that the last signed month did not know, or knew otherwise: they are posted in this month (R111).
-- Key: transaction_id; subject_id is the order line or refund it is booked on. Source: TL02 as it is, beside TL02 as the signed month
-- saw it (version $locked_version of the lake). Only lines that were read since $locked_at can differ. Invariant: what this month opens
-- with and these lines together are the log before it.
-- moved_lines are those that the signed month had in no cycle, and that the log now has in one it knew as closed: they are carried into that
-- cycle in this month (I15), with the amount it knew; the line itself is not late.
CREATE OR REPLACE TABLE known_otherwise AS
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
closed AS (
    SELECT billing_cycle_id
    FROM (SELECT * FROM lake.core.mirakl__billing_cycles AT (VERSION => $locked_version))
    WHERE shop = $shop AND created_at < $month_start
),
known AS (
    SELECT
        k.transaction_id,
        k.billing_cycle_id IN (FROM closed) AS was_closed,
        CASE WHEN k.payment_state = 'NOT_APPLICABLE' THEN 0 ELSE k.amount_minor END AS amount_minor
    FROM (SELECT * FROM lake.core.mirakl__transactions AT (VERSION => $locked_version)) AS k
    SEMI JOIN read_since AS r ON r.transaction_id = k.transaction_id
    WHERE k.shop = $shop AND k.created_at < $month_start
),
compared AS (
    SELECT
        r.*,
        coalesce(k.amount_minor, 0) AS known_minor,
        k.transaction_id IS NULL AS is_new,
        k.transaction_id IS NOT NULL AND NOT coalesce(k.was_closed, false) AND coalesce(r.billing_cycle_id IN (FROM closed), false) AS is_moved
    FROM read_since AS r
    LEFT JOIN known AS k ON k.transaction_id = r.transaction_id
)
SELECT * FROM compared WHERE amount_minor <> known_minor OR is_moved;
CREATE OR REPLACE TABLE late_lines AS
SELECT
    transaction_id,
    currency,
    billing_cycle_id,
    transaction_type,
    subject_id,
    created_at,
    amount_minor - known_minor AS amount_minor,
    is_new
FROM known_otherwise
WHERE amount_minor <> known_minor;
CREATE OR REPLACE TABLE moved_lines AS
SELECT transaction_id, currency, billing_cycle_id, transaction_type, created_at, known_minor AS amount_minor
FROM known_otherwise
WHERE is_moved;
