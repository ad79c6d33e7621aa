-- I12: every commission is by the contract's rate and every refund gave back its share of it, but for rounding.
-- A row is an order line of the month with a commission, or one that differs. Source: lake.recon.commission_variance, order_vs_ledger.
SELECT
    currency,
    order_line_id AS subject,
    variance_code AS detail,
    difference_minor,
    variance_code <> 'ROUNDING' AS is_failing
FROM lake.recon.commission_variance
WHERE shop = $shop AND month = $month
UNION ALL
SELECT v.currency, v.order_line_id, '', 0, false
FROM lake.recon.order_vs_ledger AS v
ANTI JOIN (SELECT order_line_id FROM lake.recon.commission_variance WHERE shop = $shop AND month = $month) AS c
    ON c.order_line_id = v.order_line_id
WHERE v.shop = $shop AND v.month = $month AND v.ledger_commission_minor <> 0
