-- The lines of the transaction log as a month posts them, which is what log_sums adds up, of no later months. A row per line and part of it.
-- Source: TL02 without NOT_APPLICABLE, late_lines, moved_lines, the type mapping. period is when a part counts: within the month, where also what came
-- late of earlier lines is, or before it: what the signed month knew of a line, is_moved where that is carried into a cycle that was closed before.
-- line is all that trace tells of one, with the part's amount; size orders the largest first. A view, so that a figure is opened without keeping a row per line.
CREATE OR REPLACE VIEW posted_lines AS
WITH parts AS (
    SELECT t.*, 'within' AS period, false AS is_moved
    FROM lake.core.mirakl__transactions AS t
    WHERE t.shop = $shop AND t.created_at >= $month_start AND t.created_at < $month_end AND t.payment_state <> 'NOT_APPLICABLE'
    UNION ALL
    SELECT t.* REPLACE (l.amount_minor AS amount_minor), 'within', false
    FROM lake.core.mirakl__transactions AS t
    INNER JOIN late_lines AS l ON l.transaction_id = t.transaction_id
    WHERE t.shop = $shop AND t.created_at < $month_start
    UNION ALL
    SELECT
        t.* REPLACE (CASE WHEN t.payment_state = 'NOT_APPLICABLE' THEN 0 ELSE t.amount_minor END - coalesce(l.amount_minor, 0) AS amount_minor),
        'before',
        m.transaction_id IS NOT NULL
    FROM lake.core.mirakl__transactions AS t
    LEFT JOIN late_lines AS l ON l.transaction_id = t.transaction_id
    LEFT JOIN moved_lines AS m ON m.transaction_id = t.transaction_id
    WHERE
        t.shop = $shop AND t.created_at < $month_start
        -- Of a line that was not known, or did not count, nothing is before; one that counts no more is taken off within.
        AND CASE WHEN t.payment_state = 'NOT_APPLICABLE' THEN l.amount_minor IS NOT NULL ELSE t.amount_minor IS DISTINCT FROM l.amount_minor END
)
SELECT
    p.period,
    p.is_moved,
    p.currency,
    p.billing_cycle_id,
    p.created_at,
    p.transaction_type,
    coalesce(m.component, 'UNMAPPED') AS component,
    coalesce(m.ledger_account, 'suspense') AS account,
    p.amount_minor,
    {
        'size': abs(p.amount_minor),
        'transaction_id': p.transaction_id,
        'shop': p.shop,
        'transaction_type': p.transaction_type,
        'component': coalesce(m.component, 'UNMAPPED'),
        'account': coalesce(m.ledger_account, 'suspense'),
        'payment_state': p.payment_state,
        'currency': p.currency,
        'amount_minor': p.amount_minor,
        'order_id': p.order_id,
        'order_line_id': p.order_line_id,
        'refund_id': p.refund_id,
        'tax_code': p.tax_code,
        'billing_cycle_id': p.billing_cycle_id,
        'accounting_document_id': p.accounting_document_id,
        'accounting_document_number': p.accounting_document_number,
        'created_at': p.created_at,
        'updated_at': p.updated_at,
        'payload_hash': p.payload_hash,
        'fetched_at': p.fetched_at
    } AS line
FROM parts AS p
LEFT JOIN mapping.transaction_types AS m ON m.type = p.transaction_type;
