-- I4: closing is what the marketplace still owes, by another route: lines created before month end that are in no cycle
-- paid (PAYMENT line) before month end; and the reserve's closing is what all of its lines until then held back and did not release.
-- A row is a currency, and one whose marketplace holds a reserve. Source: TL02, lake.recon.control_roll_forward, reserve_roll_forward.
WITH paid AS (
    SELECT DISTINCT billing_cycle_id
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND transaction_type = 'PAYMENT' AND created_at < $month_end AND billing_cycle_id IS NOT NULL
),
owed AS (
    SELECT
        t.currency,
        coalesce(sum(t.amount_minor) FILTER (p.billing_cycle_id IS NULL), 0) AS amount_minor,
        coalesce(-sum(t.amount_minor) FILTER (
            t.transaction_type IN (SELECT m.type FROM mapping.transaction_types AS m WHERE m.component = 'reserve')
        ), 0) AS reserve_minor
    FROM lake.core.mirakl__transactions AS t
    LEFT JOIN paid AS p ON p.billing_cycle_id = t.billing_cycle_id
    WHERE t.shop = $shop AND t.created_at < $month_end AND t.payment_state <> 'NOT_APPLICABLE' AND t.transaction_type <> 'PAYMENT'
    GROUP BY t.currency
),
closed AS (
    SELECT
        coalesce(r.currency, o.currency) AS currency,
        coalesce(r.amount_minor, 0) AS found_minor,
        coalesce(o.reserve_minor, 0) AS wanted_minor,
        r.currency IS NOT NULL AS is_there
    FROM (FROM lake.recon.reserve_roll_forward WHERE shop = $shop AND month = $month AND component = 'closing') AS r
    FULL OUTER JOIN owed AS o ON o.currency = r.currency
    WHERE EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $month)
)
SELECT
    r.currency,
    'closing' AS subject,
    '' AS detail,
    CAST(r.amount_minor - coalesce(o.amount_minor, 0) AS BIGINT) AS difference_minor,
    r.amount_minor <> coalesce(o.amount_minor, 0) AS is_failing
FROM lake.recon.control_roll_forward AS r
LEFT JOIN owed AS o ON o.currency = r.currency
WHERE r.shop = $shop AND r.month = $month AND r.component = 'closing'
UNION ALL
SELECT currency, 'reserve closing', '', CAST(found_minor - wanted_minor AS BIGINT), found_minor <> wanted_minor
FROM closed
WHERE is_there OR wanted_minor <> 0
