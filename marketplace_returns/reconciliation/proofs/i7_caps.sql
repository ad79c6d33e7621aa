-- I7: no line is refunded beyond its price, its shipping or any of its taxes, no return unit has two confirmed refunds, and no line has more
-- units refunded by us than were shipped. A row is an order line with a refund in the month or looked at again in it, a return unit or a line with an intent
-- confirmed in it, held against all that was refunded before.
-- Source: OR11 refunds and lines (price and quantity are what is left after cancelations) with their taxes, confirmed_refunds, refund_three_way.
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
made AS (
    SELECT r.*
    FROM lake.core.mirakl__refunds AS r
    SEMI JOIN touched AS t ON t.order_line_id = r.order_line_id
    WHERE r.shop = $shop AND r.created_at < $month_end
),
refunded AS (
    SELECT
        order_line_id,
        sum(amount_minor) AS product,
        sum(shipping_amount_minor) AS shipping,
        sum(tax_minor) + sum(shipping_tax_minor) AS tax
    FROM made
    GROUP BY order_line_id
),
-- One code may not give back what another was.
codes AS (
    SELECT order_line_id, tax_kind, tax_code, sum(paid) AS paid, sum(given) AS given
    FROM (
        SELECT x.order_line_id, x.tax_kind, x.tax_code, x.amount_minor AS paid, 0 AS given
        FROM lake.core.mirakl__order_line_taxes AS x
        SEMI JOIN touched AS t ON t.order_line_id = x.order_line_id
        WHERE x.shop = $shop
        UNION ALL
        SELECT x.order_line_id, x.tax_kind, x.tax_code, 0, x.amount_minor
        FROM lake.core.mirakl__refund_taxes AS x
        SEMI JOIN made AS r ON r.refund_id = x.refund_id
        WHERE x.shop = $shop
    )
    GROUP BY order_line_id, tax_kind, tax_code
),
taxed AS (
    SELECT order_line_id, sum(paid) AS tax, sum(greatest(given - paid, 0)) AS excess FROM codes GROUP BY order_line_id
),
over AS (
    SELECT
        l.currency,
        l.order_line_id,
        greatest(r.product - l.price_minor, 0) + greatest(r.shipping - l.shipping_price_minor, 0)
        -- The taxes of a refund may be stated in one sum.
        + greatest(r.tax - coalesce(x.tax, 0), coalesce(x.excess, 0), 0) AS excess
    FROM refunded AS r
    INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = r.order_line_id
    LEFT JOIN taxed AS x ON x.order_line_id = r.order_line_id
),
confirmed AS (
    SELECT
        return_unit_id,
        any_value(order_line_id) AS order_line_id,
        min(currency) AS currency,
        count(*) AS refunds,
        sum(amount_minor) - max(amount_minor) AS excess,
        max(sent_at) >= $month_start AS is_of_month
    FROM ledger.confirmed_refunds
    WHERE sent_at < $month_end AND return_unit_id <> ''
    GROUP BY return_unit_id
),
units AS (
    SELECT order_line_id, count(*) AS units FROM confirmed GROUP BY order_line_id HAVING bool_or(is_of_month)
),
shipped AS (
    SELECT
        l.currency,
        l.order_line_id,
        u.units,
        l.price_minor,
        l.quantity,
        -- Not all sources tell when: a line that is still to be sent, or never will be, was not.
        CASE
            WHEN
                coalesce(l.shipped_at, l.received_at) IS NULL
                AND l.line_state IN ('STAGING', 'WAITING_ACCEPTANCE', 'WAITING_DEBIT', 'WAITING_DEBIT_PAYMENT', 'SHIPPING', 'REFUSED', 'CANCELED') THEN 0
            ELSE l.quantity
        END AS shipped
    FROM units AS u
    INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = u.order_line_id
)
SELECT currency, order_line_id AS subject, 'refunded beyond the line' AS detail, CAST(excess AS BIGINT) AS difference_minor, excess > 0 AS is_failing
FROM over
UNION ALL
SELECT currency, return_unit_id, 'confirmed refunds of one unit: ' || refunds, CAST(excess AS BIGINT), refunds > 1
FROM confirmed
WHERE is_of_month
UNION ALL
SELECT
    currency,
    order_line_id,
    'units refunded: ' || units || ' of ' || shipped || ' shipped',
    CAST(greatest(units - shipped, 0) * price_minor // greatest(quantity, 1) AS BIGINT),
    units > shipped
FROM shipped
