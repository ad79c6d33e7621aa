-- What each order line and refund adds to the VAT of the month, by what it is of. A row per tax of one; document_id is the order line or the refund.
-- output_sales: lines by the customer's debit. output_refunds: refunds by the customer's payment, for a price decrease counts
-- once the money was paid back (VATSC06635), with minus. prior_output_sales and prior_output_refunds: what came or changed of earlier
-- months that are signed (late_vat). tax_kind is product or shipping, null for what has no tax. logged_tax is what the log books of the tax
-- beside the amounts; the rest lies inside them.
-- net is what the tax stands on: the price without the taxes that lie inside it. A line with several codes gives each its net; one without
-- taxes is on the empty code, and so is a price or a shipping that has none where the other has (half_taxed).
-- A view, so that a close adds it up (vat_parts) without keeping a row per document, and a figure can be opened to them (trace_vat).
CREATE OR REPLACE VIEW vat_documents AS
WITH sale_taxes AS (
    SELECT
        l.currency,
        l.order_line_id,
        l.is_on_top,
        t.tax_kind,
        coalesce(t.tax_code, '') AS tax_code,
        t.rate,
        coalesce(t.amount_minor, 0) AS tax_minor,
        stage.vat_net(l.price_minor, l.shipping_price_minor, t.tax_kind, t.amount_minor, l.is_on_top) AS net_minor
    FROM lines AS l
    LEFT JOIN lake.core.mirakl__order_line_taxes AS t ON t.shop = $shop AND t.order_line_id = l.order_line_id
    WHERE l.debited_at >= $month_start AND l.debited_at < $month_end
),
bare_lines AS (
    SELECT currency, order_line_id, price_minor, shipping_price_minor
    FROM lake.core.mirakl__order_lines
    WHERE
        shop = $shop AND debited_at >= $month_start AND debited_at < $month_end
        AND (price_minor <> 0 AND coalesce(product_tax_minor, 0) = 0 OR shipping_price_minor <> 0 AND coalesce(shipping_tax_minor, 0) = 0)
),
half_taxed_lines AS (
    SELECT b.currency, b.order_line_id, CASE WHEN t.has_product THEN b.shipping_price_minor ELSE b.price_minor END AS net_minor
    FROM bare_lines AS b
    INNER JOIN (
        SELECT order_line_id, bool_or(tax_kind = 'product') AS has_product
        FROM lake.core.mirakl__order_line_taxes
        WHERE shop = $shop AND order_line_id IN (SELECT order_line_id FROM bare_lines)
        GROUP BY order_line_id
        HAVING count(DISTINCT tax_kind) = 1
    ) AS t ON t.order_line_id = b.order_line_id
),
paid_back AS (
    SELECT * FROM refunds WHERE paid_at >= $month_start AND paid_at < $month_end
),
-- A refund's tax code has the rate of its line's tax of that code.
rates AS (
    SELECT t.order_line_id, t.tax_kind, t.tax_code, any_value(t.rate) AS rate
    FROM lake.core.mirakl__order_line_taxes AS t
    SEMI JOIN paid_back AS r ON r.order_line_id = t.order_line_id
    WHERE t.shop = $shop AND t.rate IS NOT NULL
    GROUP BY t.order_line_id, t.tax_kind, t.tax_code
),
refund_taxes AS (
    SELECT
        r.currency,
        r.refund_id,
        r.order_line_id,
        r.is_on_top,
        t.tax_kind,
        coalesce(t.tax_code, '') AS tax_code,
        q.rate,
        coalesce(t.amount_minor, 0) AS tax_minor,
        stage.vat_net(r.amount_minor, r.shipping_amount_minor, t.tax_kind, t.amount_minor, r.is_on_top) AS net_minor
    FROM paid_back AS r
    LEFT JOIN lake.core.mirakl__refund_taxes AS t ON t.shop = $shop AND t.refund_id = r.refund_id
    LEFT JOIN rates AS q ON q.order_line_id = r.order_line_id AND q.tax_kind = t.tax_kind AND q.tax_code = t.tax_code
),
bare_refunds AS (
    SELECT currency, refund_id, order_line_id, amount_minor, shipping_amount_minor
    FROM lake.core.mirakl__refunds
    WHERE
        shop = $shop AND paid_at >= $month_start AND paid_at < $month_end
        AND (amount_minor <> 0 AND tax_minor = 0 OR shipping_amount_minor <> 0 AND shipping_tax_minor = 0)
),
half_taxed_refunds AS (
    SELECT b.currency, b.refund_id, b.order_line_id, CASE WHEN t.has_product THEN b.shipping_amount_minor ELSE b.amount_minor END AS net_minor
    FROM bare_refunds AS b
    INNER JOIN (
        SELECT refund_id, bool_or(tax_kind = 'product') AS has_product
        FROM lake.core.mirakl__refund_taxes
        WHERE shop = $shop AND refund_id IN (SELECT refund_id FROM bare_refunds)
        GROUP BY refund_id
        HAVING count(DISTINCT tax_kind) = 1
    ) AS t ON t.refund_id = b.refund_id
)
SELECT
    currency,
    'output_sales' AS direction,
    order_line_id AS document_id,
    order_line_id,
    tax_kind,
    tax_code,
    rate,
    net_minor,
    tax_minor,
    CASE WHEN is_on_top THEN tax_minor ELSE 0 END AS logged_tax_minor
FROM sale_taxes
UNION ALL
SELECT currency, 'output_sales', order_line_id, order_line_id, NULL, '', NULL, net_minor, 0, 0
FROM half_taxed_lines
UNION ALL
SELECT
    currency, 'output_refunds', refund_id, order_line_id, tax_kind, tax_code, rate, -net_minor, -tax_minor,
    CASE WHEN is_on_top THEN -tax_minor ELSE 0 END
FROM refund_taxes
UNION ALL
SELECT currency, 'output_refunds', refund_id, order_line_id, NULL, '', NULL, -net_minor, 0, 0
FROM half_taxed_refunds
UNION ALL
SELECT
    currency, 'prior_' || direction, document_id, order_line_id, tax_kind, tax_code, rate, net_minor, tax_minor,
    CASE WHEN is_on_top THEN tax_minor ELSE 0 END
FROM late_vat;
