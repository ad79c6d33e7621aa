-- One row per component and type of the log lines of a payout cycle or of an accounting document (the other one is null). Key: (currency, transaction_type).
-- largest are the $largest lines that move most, the largest first. Source: TL02 without NOT_APPLICABLE, as all month-end sums, by the type
-- mapping. Amounts are as on the log: + is owed by the marketplace to the seller.
WITH named AS (
    SELECT *
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND billing_cycle_id = $billing_cycle_id
    UNION ALL
    SELECT *
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND accounting_document_id = $document_id
)

SELECT
    coalesce(m.component, 'UNMAPPED') AS component,
    t.transaction_type,
    t.currency,
    count(*) AS lines,
    CAST(sum(t.amount_minor) AS BIGINT) AS amount_minor,
    max({
        'size': abs(t.amount_minor),
        'transaction_id': t.transaction_id,
        'shop': t.shop,
        'transaction_type': t.transaction_type,
        'component': coalesce(m.component, 'UNMAPPED'),
        'account': coalesce(m.ledger_account, 'suspense'),
        'payment_state': t.payment_state,
        'currency': t.currency,
        'amount_minor': t.amount_minor,
        'order_id': t.order_id,
        'order_line_id': t.order_line_id,
        'refund_id': t.refund_id,
        'tax_code': t.tax_code,
        'billing_cycle_id': t.billing_cycle_id,
        'accounting_document_id': t.accounting_document_id,
        'accounting_document_number': t.accounting_document_number,
        'created_at': t.created_at,
        'updated_at': t.updated_at,
        'payload_hash': t.payload_hash,
        'fetched_at': t.fetched_at
    }, $largest) AS largest
FROM named AS t
LEFT JOIN mapping.transaction_types AS m ON m.type = t.transaction_type
WHERE t.payment_state <> 'NOT_APPLICABLE'
GROUP BY m.component, t.transaction_type, t.currency
ORDER BY component, t.transaction_type, t.currency;
