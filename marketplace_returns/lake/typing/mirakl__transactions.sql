-- One row per line of the transaction log; key transaction_id; TL02 data[].
-- Invariant: the amount keeps Mirakl's sign; + increases what the marketplace owes the seller.
SELECT
    shop,
    o.id AS transaction_id,
    o.type AS transaction_type,
    o.payment_state,
    o.currency_iso_code AS currency,
    o.amount AS amount_minor,
    o.entities."order".id AS order_id,
    o.entities.order_line.id AS order_line_id,
    o.entities.refund.id AS refund_id,
    coalesce(o.entities.order_tax.code, o.entities.shop_tax.code) AS tax_code,
    o.seller_billing_cycle_id AS billing_cycle_id,
    o.accounting_document_id,
    o.accounting_document_number,
    o.date_created AS created_at,
    o.last_updated AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
