-- One row per money movement of an RMA that gives something back. Source: core.returngo__transactions.
-- A transaction that waits is PENDING: with the portal's own refunds off, it is the marketplace that pays.
SELECT
    shop,
    'returngo' AS platform,
    platform_return_id,
    transaction_id AS platform_refund_id,
    currency,
    amount_minor,
    CASE lower(status) WHEN 'success' THEN 'EXECUTED' WHEN 'failed' THEN 'FAILED' ELSE 'PENDING' END AS status,
    CASE WHEN lower(status) = 'success' THEN settled_at END AS executed_at,
    false AS is_advance,
    payload_hash
FROM lake.core.returngo__transactions
WHERE transaction_type <> 'InvoicePayment'
