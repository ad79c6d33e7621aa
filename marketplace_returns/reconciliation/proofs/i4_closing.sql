-- I4: closing is what the marketplace still owes, by another route: lines created before month end that are in no cycle
-- paid (PAYMENT line) before month end. A row is a currency.
-- Source: TL02, lake.recon.control_roll_forward.
WITH paid AS (
    SELECT DISTINCT billing_cycle_id
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND transaction_type = 'PAYMENT' AND created_at < $month_end AND billing_cycle_id IS NOT NULL
),
owed AS (
    SELECT t.currency, CAST(sum(t.amount_minor) AS BIGINT) AS amount_minor
    FROM lake.core.mirakl__transactions AS t
    ANTI JOIN paid AS p ON p.billing_cycle_id = t.billing_cycle_id
    WHERE t.shop = $shop AND t.created_at < $month_end AND t.payment_state <> 'NOT_APPLICABLE' AND t.transaction_type <> 'PAYMENT'
    GROUP BY t.currency
)
SELECT
    r.currency,
    'closing' AS subject,
    '' AS detail,
    r.amount_minor - coalesce(o.amount_minor, 0) AS difference_minor,
    r.amount_minor <> coalesce(o.amount_minor, 0) AS is_failing
FROM lake.recon.control_roll_forward AS r
LEFT JOIN owed AS o ON o.currency = r.currency
WHERE r.shop = $shop AND r.month = $month AND r.component = 'closing'
