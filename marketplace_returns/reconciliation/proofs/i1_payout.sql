-- I1: statement = transaction log = payment = invoice, per payout cycle of the month.
-- A row is a cycle. Source: lake.recon.payout_proof.
SELECT currency, billing_cycle_id AS subject, pay_out_state AS detail, difference_minor, status = 'VARIANCE' AS is_failing
FROM lake.recon.payout_proof
WHERE shop = $shop AND month = $month
