-- VAT of the month, by the date on which money moved. Key: (direction, tax_code, rate).
-- output_sales: lines by the customer's debit (OR11). output_refunds: refunds by the customer's payment, for a price decrease counts
-- once the money was paid back (VATSC06635), with minus. input: what the marketplace charged, by its booking (TL02), per kind of
-- charge. operator_remitted: tax that the marketplace pays to the tax office itself, never part of the seller's return (I13).
-- net is what the tax stands on: the price without the taxes that lie inside it. A line with several codes gives each its net.
CREATE OR REPLACE TEMP TABLE vat_summary AS
WITH usual AS (
    SELECT is_on_top FROM order_modes WHERE order_id IS NULL
),
sold AS (
    SELECT
        l.currency,
        l.order_line_id,
        l.price_minor,
        l.shipping_price_minor,
        coalesce(o.is_on_top, (SELECT is_on_top FROM usual)) AS is_on_top
    FROM lake.core.mirakl__order_lines AS l
    LEFT JOIN order_modes AS o ON o.order_id = l.order_id
    WHERE l.shop = $shop AND l.debited_at >= $month_start AND l.debited_at < $month_end
),
sale_taxes AS (
    SELECT
        s.currency,
        t.tax_code,
        t.rate,
        t.amount_minor,
        CASE WHEN t.tax_kind = 'product' THEN s.price_minor ELSE s.shipping_price_minor END
        - CASE WHEN s.is_on_top THEN 0 ELSE t.amount_minor END AS net_minor
    FROM sold AS s
    INNER JOIN lake.core.mirakl__order_line_taxes AS t ON t.shop = $shop AND t.order_line_id = s.order_line_id
),
untaxed_sales AS (
    SELECT s.currency, CAST(sum(s.price_minor + s.shipping_price_minor) AS BIGINT) AS net_minor
    FROM sold AS s
    ANTI JOIN lake.core.mirakl__order_line_taxes AS t ON t.shop = $shop AND t.order_line_id = s.order_line_id
    GROUP BY s.currency
),
paid_back AS (
    SELECT
        r.currency,
        r.refund_id,
        r.order_line_id,
        r.amount_minor,
        r.shipping_amount_minor,
        coalesce(o.is_on_top, (SELECT is_on_top FROM usual)) AS is_on_top
    FROM lake.core.mirakl__refunds AS r
    LEFT JOIN order_modes AS o ON o.order_id = r.order_id
    WHERE r.shop = $shop AND r.paid_at >= $month_start AND r.paid_at < $month_end
),
-- A refund's tax code has the rate of its line's tax of that code.
rates AS (
    SELECT t.order_line_id, t.tax_kind, t.tax_code, any_value(t.rate) AS rate
    FROM lake.core.mirakl__order_line_taxes AS t
    SEMI JOIN paid_back AS r ON r.order_line_id = t.order_line_id
    WHERE t.shop = $shop
    GROUP BY t.order_line_id, t.tax_kind, t.tax_code
),
refund_taxes AS (
    SELECT
        r.currency,
        t.tax_code,
        q.rate,
        t.amount_minor,
        CASE WHEN t.tax_kind = 'product' THEN r.amount_minor ELSE r.shipping_amount_minor END
        - CASE WHEN r.is_on_top THEN 0 ELSE t.amount_minor END AS net_minor
    FROM paid_back AS r
    INNER JOIN lake.core.mirakl__refund_taxes AS t ON t.shop = $shop AND t.refund_id = r.refund_id
    LEFT JOIN rates AS q ON q.order_line_id = r.order_line_id AND q.tax_kind = t.tax_kind AND q.tax_code = t.tax_code
),
untaxed_refunds AS (
    SELECT r.currency, CAST(sum(r.amount_minor + r.shipping_amount_minor) AS BIGINT) AS net_minor
    FROM paid_back AS r
    ANTI JOIN lake.core.mirakl__refund_taxes AS t ON t.shop = $shop AND t.refund_id = r.refund_id
    GROUP BY r.currency
),
-- What the marketplace charges has its VAT in log lines of its own, on the account input_vat.
charged AS (
    SELECT
        currency,
        replace(component, '_vat', '') AS charge,
        -coalesce(sum(amount_minor) FILTER (account <> 'input_vat'), 0) AS net_minor,
        -coalesce(sum(amount_minor) FILTER (account = 'input_vat'), 0) AS tax_minor
    FROM log_sums
    WHERE
        period = 'within'
        AND component IN (SELECT component FROM mapping.transaction_types WHERE ledger_account = 'input_vat' UNION SELECT replace(component, '_vat', '') FROM mapping.transaction_types WHERE ledger_account = 'input_vat')
    GROUP BY currency, charge
),
remitted AS (
    SELECT currency, -sum(amount_minor) AS tax_minor
    FROM log_sums
    WHERE period = 'within' AND component = 'operator_remitted'
    GROUP BY currency
),
found AS (
    SELECT currency, 'output_sales' AS direction, tax_code, rate, sum(net_minor) AS net_minor, sum(amount_minor) AS tax_minor
    FROM sale_taxes
    GROUP BY ALL
    UNION ALL
    SELECT currency, 'output_sales', '', NULL, net_minor, 0 FROM untaxed_sales
    UNION ALL
    SELECT currency, 'output_refunds', tax_code, rate, -sum(net_minor), -sum(amount_minor) FROM refund_taxes GROUP BY ALL
    UNION ALL
    SELECT currency, 'output_refunds', '', NULL, -net_minor, 0 FROM untaxed_refunds
    UNION ALL
    SELECT currency, 'input', charge, NULL, net_minor, tax_minor FROM charged
    UNION ALL
    SELECT currency, 'operator_remitted', '', NULL, 0, tax_minor FROM remitted
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    direction,
    tax_code,
    rate,
    CAST(net_minor AS BIGINT) AS net_minor,
    CAST(tax_minor AS BIGINT) AS tax_minor
FROM found
WHERE net_minor <> 0 OR tax_minor <> 0;
