-- I10: what is on sale is what there is to sell. Where the warehouse's figure is pushed: each offer has it, as last read when the month was
-- closed. Where returned units are added: each sellable unit of the month was added once, and nothing else. A row is an offer or a
-- unit; its difference is in units, not money. Source: lake.recon.stock_proof.
SELECT
    currency,
    reference AS subject,
    state || ': ' || found_qty || ' of ' || wanted_qty AS detail,
    found_qty - wanted_qty AS difference_minor,
    state NOT IN ('MATCHED', 'WAITING', 'SEEN_LATE') AS is_failing
FROM lake.recon.stock_proof
WHERE shop = $shop AND month = $month
