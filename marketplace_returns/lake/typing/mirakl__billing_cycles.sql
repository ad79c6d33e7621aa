-- One row per payout cycle; key billing_cycle_id; SBC11 data[].
-- Invariant: the amounts are Mirakl's statement, never our sum.
SELECT
    shop,
    o.id AS billing_cycle_id,
    o.date_created AS created_at,
    o.currency_iso_code AS currency,
    o.amount_transferred_to_seller AS amount_to_seller_minor,
    o.amount_transferred_to_operator AS amount_to_operator_minor,
    o.pay_out.state AS pay_out_state,
    o.pay_out.reference AS pay_out_reference,
    o.pay_out.transaction_date AS pay_out_at,
    o.pay_out.failure_reason,
    o.payment_voucher_number,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
