-- One row per line of the transaction log that has a number, with all that it says. Key: (shop, transaction_id).
-- The log is not sorted by it, so all of it is read: asked only where a reference looks like the id of a line. Source: TL02 by the type
-- mapping (component, account); a type that no mapping knows is UNMAPPED, as in log_sums.
SELECT
    t.shop,
    t.transaction_id,
    t.transaction_type,
    coalesce(m.component, 'UNMAPPED') AS component,
    coalesce(m.ledger_account, 'suspense') AS account,
    t.payment_state,
    t.currency,
    t.amount_minor,
    t.order_id,
    t.order_line_id,
    t.refund_id,
    t.tax_code,
    t.billing_cycle_id,
    t.accounting_document_id,
    t.accounting_document_number,
    t.created_at,
    t.updated_at,
    t.payload_hash,
    t.fetched_at
FROM lake.core.mirakl__transactions AS t
LEFT JOIN mapping.transaction_types AS m ON m.type = t.transaction_type
WHERE t.transaction_id = $number
ORDER BY t.shop;
