-- One row per payout cycle of a number, as its statement says. Key: (shop, billing_cycle_id). Source: SBC11.
SELECT
    shop,
    billing_cycle_id,
    currency,
    created_at,
    pay_out_state,
    amount_to_seller_minor AS statement_amount_minor,
    amount_to_operator_minor AS operator_amount_minor,
    pay_out_reference,
    pay_out_at,
    failure_reason,
    payload_hash,
    fetched_at
FROM lake.core.mirakl__billing_cycles
WHERE billing_cycle_id = $number
ORDER BY shop;
