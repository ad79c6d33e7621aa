-- One row per money movement of an RMA that gives something back. Source: core.returngo__transactions, core.mirakl__refunds.
-- A transaction that waits is PENDING: with the portal's own refunds off, it is the marketplace that pays. One that names a refund
-- of the marketplace is RECORDED: we told ReturnGO of that refund, and it paid nothing itself.
SELECT
    t.shop,
    'returngo' AS platform,
    t.platform_return_id,
    t.transaction_id AS platform_refund_id,
    t.currency,
    t.amount_minor,
    CASE
        WHEN lower(t.status) = 'failed' THEN 'FAILED'
        WHEN lower(t.status) <> 'success' THEN 'PENDING'
        WHEN r.refund_id IS NOT NULL THEN 'RECORDED'
        ELSE 'EXECUTED'
    END AS status,
    CASE WHEN lower(t.status) = 'success' THEN t.settled_at END AS executed_at,
    false AS is_advance,
    t.payload_hash
FROM lake.core.returngo__transactions AS t
LEFT JOIN lake.core.mirakl__refunds AS r ON r.shop = t.shop AND r.refund_id = split_part(t.external_reference_id, ',', 1)
WHERE t.transaction_type <> 'InvoicePayment'
