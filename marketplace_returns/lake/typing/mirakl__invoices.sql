-- One row per accounting document of the marketplace to the seller; key document_id; IV01 invoices[].
-- Invariant: the amounts are the document's own.
SELECT
    shop,
    o.id AS document_id,
    o.invoice_id,
    o.type AS invoice_type,
    o.state AS invoice_state,
    o.seller_billing_cycle_id AS billing_cycle_id,
    o.currency_iso_code AS currency,
    o.summary.amount_transferred AS amount_transferred_minor,
    o.total_amount_excl_taxes AS total_excl_minor,
    o.total_amount_incl_taxes AS total_incl_minor,
    o.payment.state AS payment_state,
    o.payment.reference AS payment_reference,
    o.date_created AS created_at,
    o.issue_date AS issued_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
