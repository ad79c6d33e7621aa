-- I7: no line is refunded beyond its price, its shipping or its taxes, and no return unit has two confirmed refunds.
-- A row is an order line with a refund in the month, or a return unit with an intent confirmed in it.
-- Source: OR11 refunds and lines (price and quantity are what is left after cancelations), confirmed_refunds.
WITH touched AS (
    SELECT DISTINCT order_line_id
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop AND created_at >= $month_start AND created_at < $month_end
),
refunded AS (
    SELECT
        r.order_line_id,
        sum(r.amount_minor) AS product,
        sum(r.shipping_amount_minor) AS shipping,
        sum(r.tax_minor) + sum(r.shipping_tax_minor) AS tax
    FROM lake.core.mirakl__refunds AS r
    SEMI JOIN touched AS t ON t.order_line_id = r.order_line_id
    WHERE r.shop = $shop AND r.created_at < $month_end
    GROUP BY r.order_line_id
),
taxed AS (
    SELECT x.order_line_id, sum(x.amount_minor) AS tax
    FROM lake.core.mirakl__order_line_taxes AS x
    SEMI JOIN touched AS t ON t.order_line_id = x.order_line_id
    WHERE x.shop = $shop
    GROUP BY x.order_line_id
),
over AS (
    SELECT
        l.currency,
        l.order_line_id,
        greatest(r.product - l.price_minor, 0) + greatest(r.shipping - l.shipping_price_minor, 0)
        + greatest(r.tax - coalesce(x.tax, 0), 0) AS excess
    FROM refunded AS r
    INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = r.order_line_id
    LEFT JOIN taxed AS x ON x.order_line_id = r.order_line_id
)
SELECT currency, order_line_id AS subject, 'refunded beyond the line' AS detail, CAST(excess AS BIGINT) AS difference_minor, excess > 0 AS is_failing
FROM over
UNION ALL
SELECT currency, return_unit_id, 'confirmed refunds of one unit: ' || count(*), CAST(sum(amount_minor) - max(amount_minor) AS BIGINT), count(*) > 1
FROM ledger.confirmed_refunds
WHERE confirmed_at >= $month_start AND confirmed_at < $month_end
GROUP BY currency, return_unit_id
