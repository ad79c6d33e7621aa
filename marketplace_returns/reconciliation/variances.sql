-- Every row of a closed month that a person should look at, by code: at most $named_max rows a code and currency, largest
-- first, with the count and sum of all. Sources: lake.recon.payout_proof, payout_components, order_vs_ledger,
-- refund_three_way, commission_variance, prior_period_adjustments, core.mirakl__billing_cycles. Differences of time alone (TIMING_*) need
-- nobody and are left out, and so is, but where $is_every is asked for, what a later month that was closed since shows as matched. reference is that of aged_unmatched.
WITH stated AS (
    SELECT billing_cycle_id FROM lake.core.mirakl__billing_cycles WHERE shop = $shop
),
failed_payouts AS (
    SELECT p.currency, p.billing_cycle_id, abs(coalesce(p.statement_amount_minor, 0)) AS amount_minor
    FROM lake.recon.payout_proof AS p
    INNER JOIN lake.core.mirakl__billing_cycles AS c ON c.shop = p.shop AND c.billing_cycle_id = p.billing_cycle_id
    WHERE p.shop = $shop AND p.month = $month AND c.pay_out_state = 'FAILED'
),
unmapped AS (
    SELECT t.currency, t.transaction_type, sum(t.amount_minor) AS amount_minor
    FROM lake.core.mirakl__transactions AS t
    ANTI JOIN mapping.transaction_types AS m ON m.type = t.transaction_type
    WHERE t.shop = $shop AND t.payment_state <> 'NOT_APPLICABLE' AND t.created_at < $month_end
    GROUP BY t.currency, t.transaction_type
),
found AS (
    SELECT
        CASE
            WHEN statement_amount_minor IS NOT NULL THEN 'PAYOUT'
            -- Only the log names the cycle, at least in this currency.
            WHEN billing_cycle_id IN (SELECT billing_cycle_id FROM stated) THEN 'FX'
            ELSE 'MISSING_EXTRACT'
        END AS code,
        currency,
        abs(difference_minor) AS amount_minor,
        NULL AS order_id,
        NULL AS order_line_id,
        NULL AS return_unit_id,
        NULL AS refund_id,
        billing_cycle_id,
        NULL AS transaction_type,
        NULL AS transaction_id,
        billing_cycle_id AS reference
    FROM lake.recon.payout_proof
    WHERE shop = $shop AND month = $month AND status = 'VARIANCE'
    UNION ALL
    SELECT 'PAYOUT_FAILED_KYC', currency, amount_minor, NULL, NULL, NULL, NULL, billing_cycle_id, NULL, NULL, billing_cycle_id
    FROM failed_payouts
    UNION ALL
    SELECT 'UNMAPPED_TYPE', currency, abs(amount_minor), NULL, NULL, NULL, NULL, NULL, transaction_type, NULL, NULL
    FROM unmapped
    UNION ALL
    SELECT 'LATE_ITEM', currency, abs(amount_minor), NULL, NULL, NULL, NULL, NULL, kind, reference, NULL
    FROM lake.recon.prior_period_adjustments
    WHERE shop = $shop AND month = $month
    UNION ALL
    SELECT
        variance_code,
        currency,
        abs(ledger_sales_minor - order_sales_minor) + abs(ledger_shipping_minor - order_shipping_minor)
        + abs(ledger_sales_tax_minor - order_sales_tax_minor) + abs(ledger_shipping_tax_minor - order_shipping_tax_minor)
        + abs(ledger_commission_minor - order_commission_minor) + abs(ledger_commission_vat_minor - order_commission_vat_minor),
        order_id,
        CASE WHEN NOT starts_with(order_line_id, 'log:') THEN order_line_id END,
        NULL,
        NULL,
        NULL,
        NULL,
        CASE WHEN starts_with(order_line_id, 'log:') THEN substr(order_line_id, length('log:') + 1) END,
        order_line_id
    FROM lake.recon.order_vs_ledger
    WHERE shop = $shop AND month = $month AND variance_code <> ''
    UNION ALL
    SELECT
        CASE WHEN verdict = 'REFUND_WITHOUT_RECEIPT' AND evidence_class = 'SLA_FORCED' THEN 'REFUND_WITHOUT_RECEIPT (SLA_FORCED)' ELSE verdict END,
        currency,
        coalesce(CASE WHEN verdict = 'REFUND_WITHOUT_RECEIPT' THEN intended_amount_minor END, nullif(difference_minor, 0), intended_amount_minor, 0),
        order_id,
        order_line_id,
        return_unit_id,
        refund_id,
        NULL,
        NULL,
        CASE WHEN starts_with(match_key, 'log:') THEN substr(match_key, length('log:') + 1) END,
        match_key
    FROM lake.recon.refund_three_way
    WHERE shop = $shop AND month = $month AND verdict <> 'MATCHED' AND verdict NOT LIKE 'TIMING%'
    UNION ALL
    -- What log and order agree on, and the contract does not; where they differ it is named above.
    SELECT c.variance_code, c.currency, abs(c.difference_minor), c.order_id, c.order_line_id, NULL, NULL, NULL, NULL, NULL, NULL
    FROM lake.recon.commission_variance AS c
    ANTI JOIN (
        SELECT order_line_id, variance_code FROM lake.recon.order_vs_ledger WHERE shop = $shop AND month = $month AND variance_code LIKE 'COMMISSION%'
        UNION ALL
        SELECT order_line_id, verdict FROM lake.recon.refund_three_way WHERE shop = $shop AND month = $month AND verdict LIKE 'COMMISSION%'
    ) AS v ON v.order_line_id = c.order_line_id AND v.variance_code = c.variance_code
    WHERE c.shop = $shop AND c.month = $month AND c.variance_code <> 'ROUNDING'
),
-- An intent or a unit that a refund was found for is under that refund's key.
matched_later AS (
    SELECT order_line_id AS reference FROM lake.recon.order_vs_ledger WHERE shop = $shop AND month > $month AND variance_code = ''
    UNION ALL
    SELECT unnest([match_key, return_unit_id]) FROM lake.recon.refund_three_way WHERE shop = $shop AND month > $month AND verdict = 'MATCHED'
    UNION ALL
    SELECT billing_cycle_id FROM lake.recon.payout_proof WHERE shop = $shop AND month > $month AND status = 'PROVEN'
),
ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY code, currency ORDER BY amount_minor DESC, billing_cycle_id, transaction_type, transaction_id, order_line_id, refund_id, return_unit_id
        ) AS place,
        count(*) OVER (PARTITION BY code, currency) AS of_code,
        sum(amount_minor) OVER (PARTITION BY code, currency) AS code_minor
    FROM found
    WHERE NOT EXISTS (
        SELECT 1
        FROM matched_later AS m
        WHERE NOT $is_every AND m.reference = CASE WHEN regexp_matches(found.reference, '^(intent|unit):') THEN found.return_unit_id ELSE found.reference END
    )
)
SELECT
    code,
    currency,
    CAST(amount_minor AS BIGINT) AS amount_minor,
    coalesce(order_id, '') AS order_id,
    coalesce(order_line_id, '') AS order_line_id,
    coalesce(return_unit_id, '') AS return_unit_id,
    coalesce(refund_id, '') AS refund_id,
    coalesce(billing_cycle_id, '') AS billing_cycle_id,
    coalesce(transaction_type, '') AS transaction_type,
    coalesce(transaction_id, '') AS transaction_id,
    -- What is only named stays with its month (brought_forward).
    CASE WHEN stage.is_only_named(code) THEN '' ELSE coalesce(reference, '') END AS reference,
    place,
    of_code,
    CAST(code_minor AS BIGINT) AS code_minor
FROM ranked
WHERE place <= $named_max
ORDER BY code, currency, place;
