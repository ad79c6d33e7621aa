-- I2: each total of the statement is the sum of the types mapped to it, and no type is unmapped.
-- A row is a cycle of the month and one of the statement's totals that has types, or an unmapped amount.
-- Source: SBC11 totals, TL02 by stage.statement_fields, lake.recon.payout_components.
WITH cycles AS (
    SELECT currency, billing_cycle_id
    FROM lake.recon.payout_proof
    WHERE shop = $shop AND month = $month AND statement_amount_minor IS NOT NULL
),
typed AS (
    SELECT billing_cycle_id, currency, transaction_type, sum(amount_minor) AS amount_minor
    FROM lake.core.mirakl__transactions
    WHERE
        shop = $shop AND payment_state <> 'NOT_APPLICABLE'
        AND billing_cycle_id IN (SELECT billing_cycle_id FROM cycles)
    GROUP BY billing_cycle_id, currency, transaction_type
),
logged AS (
    SELECT s.billing_cycle_id, s.currency, f.field, sum(s.amount_minor) AS amount_minor
    FROM typed AS s
    INNER JOIN stage.statement_fields AS f ON f.transaction_type = s.transaction_type
    GROUP BY s.billing_cycle_id, s.currency, f.field
),
stated AS (
    SELECT t.billing_cycle_id, t.currency, t.field, t.amount_minor
    FROM lake.core.mirakl__billing_cycle_totals AS t
    WHERE t.shop = $shop AND t.field IN (SELECT field FROM stage.statement_fields)
),
compared AS (
    SELECT
        c.currency,
        c.billing_cycle_id,
        coalesce(t.field, l.field) AS field,
        CAST(coalesce(l.amount_minor, 0) - coalesce(t.amount_minor, 0) AS BIGINT) AS difference_minor
    FROM stated AS t
    FULL OUTER JOIN logged AS l ON l.billing_cycle_id = t.billing_cycle_id AND l.currency = t.currency AND l.field = t.field
    INNER JOIN cycles AS c
        ON c.billing_cycle_id = coalesce(t.billing_cycle_id, l.billing_cycle_id) AND c.currency = coalesce(t.currency, l.currency)
)
SELECT currency, billing_cycle_id AS subject, field AS detail, difference_minor, difference_minor <> 0 AS is_failing
FROM compared
UNION ALL
SELECT currency, billing_cycle_id, component, ledger_amount_minor, true
FROM lake.recon.payout_components
WHERE shop = $shop AND month = $month AND component = 'UNMAPPED'
