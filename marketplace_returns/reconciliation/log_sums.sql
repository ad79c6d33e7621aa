-- The whole transaction log of a shop, summed once for all tables that need totals only.
-- A row is (currency, cycle, type, period); period says when the lines were created: before, within or after the month.
-- Source: TL02 without NOT_APPLICABLE (informative lines). Invariant: a type no mapping knows is component UNMAPPED on the
-- account suspense, so that nothing is left out of a sum (I2). Late lines of signed months (late_lines) move from before to within.
CREATE OR REPLACE TABLE log_sums AS
WITH summed AS (
    SELECT
        currency,
        billing_cycle_id,
        transaction_type,
        CASE WHEN created_at < $month_start THEN 'before' WHEN created_at < $month_end THEN 'within' ELSE 'after' END AS period,
        CAST(sum(amount_minor) AS BIGINT) AS amount_minor,
        count(*) AS lines,
        max(created_at) AS last_created_at
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND payment_state <> 'NOT_APPLICABLE'
    GROUP BY ALL
    UNION ALL
    SELECT currency, billing_cycle_id, transaction_type, 'within', CAST(sum(amount_minor) AS BIGINT), count(*), max(created_at)
    FROM late_lines
    GROUP BY currency, billing_cycle_id, transaction_type
    UNION ALL
    SELECT currency, billing_cycle_id, transaction_type, 'before', -CAST(sum(amount_minor) AS BIGINT), -count(*), max(created_at)
    FROM late_lines
    GROUP BY currency, billing_cycle_id, transaction_type
)
SELECT
    s.currency,
    s.billing_cycle_id,
    s.transaction_type,
    s.period,
    s.amount_minor,
    s.lines,
    s.last_created_at,
    s.transaction_type = 'PAYMENT' AS is_payment,
    coalesce(m.component, 'UNMAPPED') AS component,
    coalesce(m.ledger_account, 'suspense') AS account
FROM summed AS s
LEFT JOIN mapping.transaction_types AS m ON m.type = s.transaction_type;
