-- I11: what a line's refunds gave back of each product tax is the share of it that they gave back of the price, rounded over all of them;
-- a line refunded whole leaves none. A row is a line and tax code with a refund in the month or looked at again in it. The marketplace does not publish
-- how it rounds: a difference of the tolerance refund_tax per refund is rounding, except where the line is refunded whole.
-- Source: OR11 lines, taxes, refunds and their taxes, refund_three_way; taxes that do not follow the amount (FIXED) are left out.
WITH touched AS (
    SELECT order_line_id
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop AND created_at >= $month_start AND created_at < $month_end
    UNION
    -- One of an earlier month that this one looks at again: it came late, or is another now.
    SELECT order_line_id
    FROM lake.recon.refund_three_way
    WHERE shop = $shop AND month = $month AND paid_at < $month_start AND order_line_id IS NOT NULL
),
refunded AS (
    SELECT r.order_line_id, sum(r.amount_minor) AS product_minor, count(*) AS refunds
    FROM lake.core.mirakl__refunds AS r
    SEMI JOIN touched AS t ON t.order_line_id = r.order_line_id
    WHERE r.shop = $shop AND r.created_at < $month_end
    GROUP BY r.order_line_id
),
given AS (
    SELECT x.order_line_id, x.tax_code, sum(x.amount_minor) AS tax_minor
    FROM lake.core.mirakl__refund_taxes AS x
    SEMI JOIN touched AS t ON t.order_line_id = x.order_line_id
    INNER JOIN lake.core.mirakl__refunds AS r ON r.shop = $shop AND r.refund_id = x.refund_id AND r.created_at < $month_end
    WHERE x.shop = $shop AND x.tax_kind = 'product'
    GROUP BY x.order_line_id, x.tax_code
),
compared AS (
    SELECT
        l.currency,
        l.order_line_id,
        t.tax_code,
        r.refunds,
        r.product_minor = l.price_minor AS is_whole,
        coalesce(g.tax_minor, 0) - model.cumulative_share(t.amount_minor, CAST(r.product_minor AS BIGINT), l.price_minor) AS difference_minor
    FROM refunded AS r
    INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = r.order_line_id
    INNER JOIN lake.core.mirakl__order_line_taxes AS t ON t.shop = $shop AND t.order_line_id = r.order_line_id AND t.tax_kind = 'product'
    LEFT JOIN given AS g ON g.order_line_id = t.order_line_id AND g.tax_code = t.tax_code
    WHERE t.calculation_rule = 'PROPORTIONAL_TO_AMOUNT' AND r.product_minor <= l.price_minor
)
SELECT
    currency,
    order_line_id AS subject,
    tax_code AS detail,
    CAST(difference_minor AS BIGINT) AS difference_minor,
    abs(difference_minor) > CASE WHEN is_whole THEN 0 ELSE refunds * stage.tolerance($shop, 'refund_tax', currency) END AS is_failing
FROM compared
