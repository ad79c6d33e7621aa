-- I13: the VAT of sales and refunds by OR11 is what the log booked of it, where taxes come on top and so are logged.
-- A row is a currency and direction of a shop whose orders are all of one mode. A refund paid in the month and booked in another
-- (TIMING_CUTOFF), and lines that differ by a code of their own, are named there and taken off here.
-- Source: lake.recon.vat_summary, control_roll_forward, order_vs_ledger, refund_three_way.
WITH mode AS (
    SELECT bool_and(order_tax_mode = 'TAX_EXCLUDED') AS is_on_top FROM lake.core.mirakl__orders WHERE shop = $shop
),
stated AS (
    SELECT currency, direction, sum(tax_minor) AS tax_minor
    FROM lake.recon.vat_summary
    WHERE shop = $shop AND month = $month AND direction IN ('output_sales', 'output_refunds')
    GROUP BY currency, direction
),
booked AS (
    SELECT
        currency,
        CASE WHEN component IN ('sales_tax', 'shipping_tax') THEN 'output_sales' ELSE 'output_refunds' END AS direction,
        sum(amount_minor) AS tax_minor
    FROM lake.recon.control_roll_forward
    WHERE shop = $shop AND month = $month AND component IN ('sales_tax', 'shipping_tax', 'refund_tax', 'refund_shipping_tax')
    GROUP BY ALL
),
coded AS (
    SELECT
        currency,
        'output_sales' AS direction,
        sum(ledger_sales_tax_minor + ledger_shipping_tax_minor - order_sales_tax_minor - order_shipping_tax_minor) AS tax_minor
    FROM lake.recon.order_vs_ledger
    WHERE shop = $shop AND month = $month AND variance_code <> ''
    GROUP BY currency
),
is_coded AS (
    SELECT DISTINCT currency FROM lake.recon.refund_three_way
    WHERE shop = $shop AND month = $month AND refund_id IS NOT NULL AND verdict NOT IN ('MATCHED', 'TIMING_REFUND_PENDING')
),
compared AS (
    SELECT
        coalesce(s.currency, b.currency) AS currency,
        coalesce(s.direction, b.direction) AS direction,
        coalesce(b.tax_minor, 0) - coalesce(s.tax_minor, 0) AS difference_minor
    FROM stated AS s
    FULL OUTER JOIN booked AS b ON b.currency = s.currency AND b.direction = s.direction
)
SELECT
    c.currency,
    c.direction AS subject,
    CASE WHEN m.is_on_top THEN 'log less OR11' ELSE 'not logged: taxes lie inside the amounts' END AS detail,
    CASE WHEN m.is_on_top THEN CAST(c.difference_minor - coalesce(d.tax_minor, 0) AS BIGINT) ELSE 0 END AS difference_minor,
    m.is_on_top AND c.difference_minor <> coalesce(d.tax_minor, 0)
    AND NOT (c.direction = 'output_refunds' AND c.currency IN (SELECT currency FROM is_coded)) AS is_failing
FROM compared AS c
CROSS JOIN mode AS m
LEFT JOIN coded AS d ON d.currency = c.currency AND d.direction = c.direction
