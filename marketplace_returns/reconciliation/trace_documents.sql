-- One row per accounting document of an id, of a number that IV02 knows it by, or of a payout cycle. Key: (shop, document_id). Source: IV01.
SELECT
    shop,
    document_id,
    invoice_id,
    invoice_type,
    invoice_state,
    billing_cycle_id,
    currency,
    amount_transferred_minor,
    total_excl_minor,
    total_incl_minor,
    payment_state,
    payment_reference,
    created_at,
    issued_at,
    payload_hash,
    fetched_at
FROM lake.core.mirakl__invoices
WHERE document_id = $document_id OR invoice_id = $invoice_id OR billing_cycle_id = $billing_cycle_id
ORDER BY shop, created_at, document_id;
