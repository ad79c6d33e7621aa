-- The shop's payout cycles, read once. Key: billing_cycle_id. Source: SBC11.
CREATE OR REPLACE TABLE cycles AS
SELECT billing_cycle_id, currency, created_at, pay_out_state, amount_to_seller_minor
FROM lake.core.mirakl__billing_cycles
WHERE shop = $shop;
