-- One row per payout cycle of the month and statement component that has an amount on either side.
-- Key: (billing_cycle_id, component). Source: SBC11 totals by stage.statement_components, TL02 by stage.component_types.
-- A component is one total of the statement or the difference of two (with tax less without), so that the components of a
-- cycle add up to its payout. Types on no total keep their mapping's component and have no statement amount.
-- Invariant I2: the difference of every component is 0, and there is no UNMAPPED.
CREATE OR REPLACE TABLE payout_components AS
WITH cycles AS (
    SELECT currency, billing_cycle_id, pay_out_state FROM payout_proof
),
stated AS (
    SELECT
        t.billing_cycle_id,
        t.currency,
        m.component,
        CAST(sum(CASE WHEN t.field = m.plus_field THEN t.amount_minor ELSE -t.amount_minor END) AS BIGINT) AS amount_minor
    FROM lake.core.mirakl__billing_cycle_totals AS t
    INNER JOIN stage.statement_components AS m ON t.field IN (m.plus_field, m.minus_field)
    WHERE t.shop = $shop
    GROUP BY t.billing_cycle_id, t.currency, m.component
),
logged AS (
    SELECT
        s.billing_cycle_id,
        s.currency,
        CASE WHEN s.component = 'UNMAPPED' THEN 'UNMAPPED' ELSE coalesce(m.component, s.component) END AS component,
        bool_or(m.component IS NOT NULL AND s.component <> 'UNMAPPED') AS is_on_statement,
        CAST(sum(s.amount_minor) AS BIGINT) AS amount_minor
    FROM log_sums AS s
    LEFT JOIN stage.component_types AS m ON m.transaction_type = s.transaction_type
    WHERE s.billing_cycle_id IS NOT NULL AND NOT s.is_payment
    GROUP BY ALL
),
named AS (
    SELECT billing_cycle_id, currency, component FROM stated WHERE amount_minor <> 0
    UNION
    SELECT billing_cycle_id, currency, component FROM logged
)
SELECT
    $shop AS shop,
    c.currency,
    $month AS month,
    c.billing_cycle_id,
    n.component,
    CASE
        WHEN c.pay_out_state = 'NOT_ON_STATEMENT' OR NOT coalesce(l.is_on_statement, true) THEN NULL
        ELSE coalesce(s.amount_minor, 0)
    END AS statement_amount_minor,
    coalesce(l.amount_minor, 0) AS ledger_amount_minor,
    CASE
        WHEN n.component = 'UNMAPPED' THEN l.amount_minor
        WHEN c.pay_out_state = 'NOT_ON_STATEMENT' OR NOT coalesce(l.is_on_statement, true) THEN NULL
        ELSE coalesce(l.amount_minor, 0) - coalesce(s.amount_minor, 0)
    END AS difference_minor
FROM cycles AS c
INNER JOIN named AS n ON n.billing_cycle_id = c.billing_cycle_id AND n.currency = c.currency
LEFT JOIN stated AS s ON s.billing_cycle_id = n.billing_cycle_id AND s.currency = n.currency AND s.component = n.component
LEFT JOIN logged AS l ON l.billing_cycle_id = n.billing_cycle_id AND l.currency = n.currency AND l.component = n.component;
