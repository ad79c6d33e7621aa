-- The whole transaction log of a shop, summed once for all tables that need totals only.
-- A row is (currency, cycle, type, period, is_moved); period says when the lines were created: before, within or after the month. is_moved marks
-- what is carried into a cycle that was closed before the month, for the signed month had it in none (moved_lines).
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
        max(created_at) AS last_created_at,
        false AS is_moved
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND payment_state <> 'NOT_APPLICABLE'
    GROUP BY ALL
    UNION ALL
    SELECT currency, billing_cycle_id, transaction_type, 'within', CAST(sum(amount_minor) AS BIGINT), count(*), max(created_at), false
    FROM late_lines
    GROUP BY currency, billing_cycle_id, transaction_type
    UNION ALL
    SELECT currency, billing_cycle_id, transaction_type, 'before', -CAST(sum(amount_minor) AS BIGINT), -count(*), max(created_at), false
    FROM late_lines
    GROUP BY currency, billing_cycle_id, transaction_type
    UNION ALL
    SELECT
        m.currency,
        m.billing_cycle_id,
        m.transaction_type,
        'before',
        CAST(sum(p.sign * m.amount_minor) AS BIGINT),
        CAST(sum(p.sign) AS BIGINT),
        max(m.created_at),
        p.is_moved
    FROM moved_lines AS m
    CROSS JOIN (VALUES (1, true), (-1, false)) AS p (sign, is_moved)
    GROUP BY m.currency, m.billing_cycle_id, m.transaction_type, p.is_moved
)
SELECT
    s.currency,
    s.billing_cycle_id,
    s.transaction_type,
    s.period,
    s.amount_minor,
    s.lines,
    s.last_created_at,
    s.is_moved,
    s.transaction_type = 'PAYMENT' AS is_payment,
    coalesce(m.component, 'UNMAPPED') AS component,
    coalesce(m.ledger_account, 'suspense') AS account
FROM summed AS s
LEFT JOIN mapping.transaction_types AS m ON m.type = s.transaction_type;
