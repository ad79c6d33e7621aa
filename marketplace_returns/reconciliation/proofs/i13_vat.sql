-- I13: the VAT of sales and refunds by OR11 is what the log booked of it, where taxes come on top and so are logged; what came late for
-- signed months is on both sides. And what the taxes of the month's own documents stand on is all that they are for: price and shipping, once
-- for each tax code of theirs, once where they have none, without the taxes inside them. A row is a currency and direction, of tax and of net. Taken off, to the penny and one by one, is what order lines and
-- refunds move in another month on the log than in OR11, or otherwise: those with a code of their own (order_vs_ledger,
-- refund_three_way), those both agree on by the month's end though they date it in two months, and LATE_VAT (timing_differences).
-- Source: lake.recon.vat_summary, control_roll_forward, order_vs_ledger, refund_three_way, timing_differences, core.bookings, OR11.
WITH stated AS (
    SELECT currency, replace(direction, 'prior_', '') AS direction, sum(logged_tax_minor) AS tax_minor
    FROM lake.recon.vat_summary
    WHERE shop = $shop AND month = $month AND direction NOT IN ('input', 'operator_remitted')
    GROUP BY ALL
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
of_month AS (
    SELECT kind, currency, subject_id, CAST(sum(tax_minor) AS BIGINT) AS booked_minor, bool_or(is_before) AS is_before
    FROM (
        SELECT
            replace(kind, 'unnamed ', '') AS kind,
            currency,
            CASE WHEN starts_with(kind, 'unnamed') THEN 'log:' || subject_id ELSE subject_id END AS subject_id,
            product_tax_minor + shipping_tax_minor AS tax_minor,
            false AS is_before
        FROM lake.core.bookings
        WHERE shop = $shop AND booked_from < $month_end AND (booked_until IS NULL OR booked_until >= $month_end)
        UNION ALL
        SELECT
            replace(kind, 'unnamed ', ''),
            currency,
            CASE WHEN starts_with(kind, 'unnamed') THEN 'log:' || subject_id ELSE subject_id END,
            -product_tax_minor - shipping_tax_minor,
            true
        FROM lake.core.bookings
        WHERE shop = $shop AND booked_from < $month_start AND (booked_until IS NULL OR booked_until >= $month_start)
    )
    GROUP BY kind, currency, subject_id
),
apart AS (
    SELECT
        v.currency,
        'output_sales' AS direction,
        coalesce(b.booked_minor, 0)
        - CASE WHEN l.debited_at >= $month_start THEN v.order_sales_tax_minor + v.order_shipping_tax_minor ELSE 0 END AS tax_minor
    FROM lake.recon.order_vs_ledger AS v
    LEFT JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = v.order_line_id
    LEFT JOIN of_month AS b ON b.kind = 'sale' AND b.subject_id = v.order_line_id AND b.currency = v.currency
    WHERE
        v.shop = $shop AND v.month = $month
        AND (v.variance_code <> '' OR l.debited_at < $month_start OR b.is_before)
    UNION ALL
    SELECT
        v.currency,
        'output_refunds',
        coalesce(b.booked_minor, 0)
        + CASE
            WHEN o.order_tax_mode = 'TAX_EXCLUDED' AND r.paid_at >= $month_start AND r.paid_at < $month_end THEN r.tax_minor + r.shipping_tax_minor
            ELSE 0
        END
    FROM lake.recon.refund_three_way AS v
    LEFT JOIN lake.core.mirakl__refunds AS r ON r.shop = $shop AND r.refund_id = v.refund_id AND r.currency = v.currency
    LEFT JOIN lake.core.mirakl__orders AS o ON o.shop = $shop AND o.order_id = r.order_id
    LEFT JOIN of_month AS b ON b.kind = 'refund' AND b.subject_id = coalesce(v.refund_id, v.match_key) AND b.currency = v.currency
    WHERE
        v.shop = $shop AND v.month = $month AND (v.match_key LIKE 'refund:%' OR v.match_key LIKE 'log:%')
        AND (v.verdict <> 'MATCHED' OR b.is_before OR NOT coalesce(v.paid_at >= $month_start AND v.paid_at < $month_end, false))
    UNION ALL
    SELECT currency, CASE WHEN refund_id IS NULL THEN 'output_sales' ELSE 'output_refunds' END, amount_minor
    FROM lake.recon.timing_differences
    WHERE shop = $shop AND month = $month AND cause = 'LATE_VAT'
),
named AS (
    SELECT currency, direction, sum(tax_minor) AS tax_minor FROM apart GROUP BY currency, direction
),
line_taxes AS (
    SELECT
        order_line_id,
        count(*) FILTER (tax_kind = 'product') AS products,
        count(*) FILTER (tax_kind = 'shipping') AS shippings,
        sum(amount_minor) AS tax_minor
    FROM lake.core.mirakl__order_line_taxes
    WHERE
        shop = $shop
        AND order_line_id IN (
            SELECT order_line_id FROM lake.core.mirakl__order_lines WHERE shop = $shop AND debited_at >= $month_start AND debited_at < $month_end
        )
    GROUP BY order_line_id
),
refund_taxes AS (
    SELECT
        refund_id,
        count(*) FILTER (tax_kind = 'product') AS products,
        count(*) FILTER (tax_kind = 'shipping') AS shippings,
        sum(amount_minor) AS tax_minor
    FROM lake.core.mirakl__refund_taxes
    WHERE
        shop = $shop
        AND refund_id IN (SELECT refund_id FROM lake.core.mirakl__refunds WHERE shop = $shop AND paid_at >= $month_start AND paid_at < $month_end)
    GROUP BY refund_id
),
documents AS (
    SELECT 'output_sales' AS direction, 1 AS sign, l.currency, l.order_id, l.price_minor, l.shipping_price_minor AS shipping_minor, t.products, t.shippings, t.tax_minor
    FROM lake.core.mirakl__order_lines AS l
    LEFT JOIN line_taxes AS t ON t.order_line_id = l.order_line_id
    WHERE l.shop = $shop AND l.debited_at >= $month_start AND l.debited_at < $month_end
    UNION ALL
    SELECT 'output_refunds', -1, r.currency, r.order_id, r.amount_minor, r.shipping_amount_minor, t.products, t.shippings, t.tax_minor
    FROM lake.core.mirakl__refunds AS r
    LEFT JOIN refund_taxes AS t ON t.refund_id = r.refund_id
    WHERE r.shop = $shop AND r.paid_at >= $month_start AND r.paid_at < $month_end
),
net AS (
    SELECT currency, direction, sum(stated_minor) AS stated_minor, sum(wanted_minor) AS wanted_minor
    FROM (
        SELECT
            d.currency,
            d.direction,
            0 AS stated_minor,
            d.sign * (
                d.price_minor * greatest(coalesce(d.products, 0), 1) + d.shipping_minor * greatest(coalesce(d.shippings, 0), 1)
                - CASE WHEN o.order_tax_mode = 'TAX_EXCLUDED' THEN 0 ELSE coalesce(d.tax_minor, 0) END
            ) AS wanted_minor
        FROM documents AS d
        LEFT JOIN lake.core.mirakl__orders AS o ON o.shop = $shop AND o.order_id = d.order_id
        UNION ALL
        SELECT currency, direction, net_minor, 0
        FROM lake.recon.vat_summary
        WHERE shop = $shop AND month = $month AND direction IN ('output_sales', 'output_refunds')
    )
    GROUP BY currency, direction
),
compared AS (
    SELECT
        coalesce(s.currency, b.currency) AS currency,
        coalesce(s.direction, b.direction) AS direction,
        coalesce(s.tax_minor, 0) AS logged_minor,
        coalesce(b.tax_minor, 0) AS booked_minor
    FROM stated AS s
    FULL OUTER JOIN booked AS b ON b.currency = s.currency AND b.direction = s.direction
)
SELECT
    c.currency,
    c.direction AS subject,
    CASE
        WHEN c.logged_minor = 0 AND c.booked_minor = 0 THEN 'not logged: taxes lie inside the amounts'
        ELSE 'log less OR11'
    END AS detail,
    CAST(c.booked_minor - c.logged_minor - coalesce(n.tax_minor, 0) AS BIGINT) AS difference_minor,
    c.booked_minor - c.logged_minor <> coalesce(n.tax_minor, 0) AS is_failing
FROM compared AS c
LEFT JOIN named AS n ON n.currency = c.currency AND n.direction = c.direction
UNION ALL
SELECT
    currency,
    'net of ' || direction,
    'vat_summary less OR11',
    CAST(stated_minor - wanted_minor AS BIGINT),
    stated_minor <> wanted_minor
FROM net
