-- Everything of the month that is not matched, and of earlier months that still is not (brought_forward), by age at month end and with the one who owns it. Key: (kind, reference, currency).
-- Sources: payout_proof, order_vs_ledger, refund_three_way; stage.code_owners says who owns a code. Invariant: a row is here once
-- for each variance that the other tables show, so that nothing unmatched is without an owner.
CREATE OR REPLACE TABLE aged_unmatched AS
WITH differing AS (
    SELECT * FROM order_vs_ledger WHERE variance_code <> ''
),
unmatched AS (
    SELECT
        currency,
        CASE WHEN status = 'OPEN' THEN 'PAYOUT_OPEN' ELSE 'PAYOUT' END AS kind,
        'PAYOUT' AS code,
        billing_cycle_id AS reference,
        coalesce(nullif(difference_minor, 0), statement_amount_minor, ledger_amount_minor) AS amount_minor,
        date_created AS since
    FROM payout_proof
    WHERE status <> 'PROVEN'
    UNION ALL
    SELECT
        v.currency,
        v.variance_code,
        v.variance_code,
        v.order_line_id,
        v.ledger_sales_minor + v.ledger_shipping_minor + v.ledger_sales_tax_minor + v.ledger_shipping_tax_minor
        + v.ledger_commission_minor + v.ledger_commission_vat_minor
        - v.order_sales_minor - v.order_shipping_minor - v.order_sales_tax_minor - v.order_shipping_tax_minor
        - v.order_commission_minor - v.order_commission_vat_minor,
        l.debited_at
    FROM differing AS v
    -- Few of many: looked for in the lines, which are not hashed for them.
    LEFT JOIN (FROM lines WHERE order_line_id IN (SELECT order_line_id FROM differing)) AS l ON l.order_line_id = v.order_line_id
    UNION ALL
    SELECT
        r.currency,
        r.verdict,
        -- As variances.sql names it, so that the exception has the same owner.
        CASE WHEN r.verdict = 'REFUND_WITHOUT_RECEIPT' AND r.evidence_class = 'SLA_FORCED' THEN 'REFUND_WITHOUT_RECEIPT (SLA_FORCED)' ELSE r.verdict END,
        r.match_key,
        coalesce(
            CASE WHEN r.verdict = 'REFUND_WITHOUT_RECEIPT' THEN r.intended_amount_minor END,
            nullif(r.difference_minor, 0), r.marketplace_amount_minor, r.intended_amount_minor,
            u.value_minor, 0
        ),
        coalesce(r.requested_at, u.inspected_at, m.created_at)
    FROM refund_three_way AS r
    -- What is in another currency than the refund is as old as the refund.
    LEFT JOIN (
        FROM refunds WHERE refund_id IN (SELECT subject_id FROM currency_mismatches WHERE kind = 'refund')
    ) AS m ON m.refund_id = r.refund_id
    LEFT JOIN units AS u ON u.return_unit_id = CASE WHEN r.refund_id IS NULL THEN r.return_unit_id END
    WHERE r.verdict <> 'MATCHED'
),
aged AS (
    -- What has no instant of its own was seen in the month at the latest, or is as old as it was brought forward.
    SELECT u.*, CAST(greatest(floor(epoch($month_end - coalesce(u.since, f.since, $month_start)) / 86400), 0) AS INTEGER) AS age_days
    FROM unmatched AS u
    LEFT JOIN brought_forward AS f ON f.reference = u.reference AND f.kind = u.kind
)
SELECT
    $shop AS shop,
    a.currency,
    $month AS month,
    CASE
        WHEN a.age_days <= 7 THEN '0-7'
        WHEN a.age_days <= 14 THEN '8-14'
        WHEN a.age_days <= 30 THEN '15-30'
        WHEN a.age_days <= 60 THEN '31-60'
        WHEN a.age_days <= 90 THEN '61-90'
        ELSE '>90'
    END AS bucket,
    a.kind,
    a.reference,
    a.amount_minor,
    a.age_days,
    coalesce(o.owner, (SELECT owner FROM stage.code_owners WHERE code = '')) AS owner
FROM aged AS a
LEFT JOIN stage.code_owners AS o ON o.code = a.code;
