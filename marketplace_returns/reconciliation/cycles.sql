-- The shop's payout cycles, read once. Key: billing_cycle_id. Source: SBC11, late_documents. posted_at is when the books take a cycle for
-- closed: when it was, or with the month's start where its statement came late for the signed month that it was closed in (R111), whose
-- journals have its lines as in no cycle.
CREATE OR REPLACE TABLE cycles AS
SELECT
    billing_cycle_id,
    currency,
    created_at,
    CASE
        WHEN billing_cycle_id IN (SELECT reference FROM late_documents WHERE subject = 'cycle' AND is_new) THEN $month_start
        ELSE created_at
    END AS posted_at,
    pay_out_state,
    amount_to_seller_minor
FROM lake.core.mirakl__billing_cycles
WHERE shop = $shop;
