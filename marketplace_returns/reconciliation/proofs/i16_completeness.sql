-- I16: two routes name the same ids: order lines debited in the month (OR11) and lines the log booked (TL02), and refunds paid in the
-- month (OR11) and refunds the log booked. A row is an id that one route names; FX is what both name, in different currencies.
-- Source: order_vs_ledger, refund_three_way.
SELECT
    currency,
    order_line_id AS subject,
    CASE WHEN order_sales_minor = 0 AND order_shipping_minor = 0 THEN 'in the log alone' ELSE 'in OR11 alone' END AS detail,
    ledger_sales_minor + ledger_shipping_minor - order_sales_minor - order_shipping_minor AS difference_minor,
    variance_code <> 'FX'
    AND (order_sales_minor <> 0 OR order_shipping_minor <> 0) <> (ledger_sales_minor <> 0 OR ledger_shipping_minor <> 0) AS is_failing
FROM lake.recon.order_vs_ledger
WHERE shop = $shop AND month = $month
UNION ALL
SELECT
    currency,
    coalesce(refund_id, match_key),
    CASE WHEN marketplace_amount_minor IS NULL THEN 'in the log alone' ELSE 'in OR11 alone' END,
    coalesce(settled_amount_minor, 0) - coalesce(marketplace_amount_minor, 0),
    verdict <> 'MATCHED' AND (marketplace_amount_minor IS NULL OR settled_amount_minor IS NULL)
FROM lake.recon.refund_three_way
WHERE
    shop = $shop AND month = $month AND verdict NOT IN ('TIMING_CUTOFF', 'FX')
    AND (refund_id IS NOT NULL AND paid_at < $month_end OR marketplace_amount_minor IS NULL AND settled_amount_minor IS NOT NULL)
