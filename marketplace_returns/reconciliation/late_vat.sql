-- VAT of order lines and refunds of earlier months that the last signed month did not know, or knew otherwise: it is part of this
-- month's VAT (R111). Key: (direction, document_id, tax_kind, tax_code, rate). Source: OR11 as it is, less OR11 as the signed month saw it
-- (version $locked_version of the lake), each with what it has dated before this month. Only what was read since $locked_at can differ.
-- Invariant: the VAT of all signed months and these rows together are the VAT of every document dated before the month.
CREATE OR REPLACE TABLE late_vat AS
WITH lines_since AS (
    SELECT order_line_id FROM lake.core.mirakl__order_lines WHERE shop = $shop AND fetched_at >= $locked_at
    UNION
    SELECT order_line_id FROM lake.core.mirakl__order_line_taxes WHERE shop = $shop AND fetched_at >= $locked_at
),
refunds_since AS (
    SELECT refund_id FROM lake.core.mirakl__refunds WHERE shop = $shop AND fetched_at >= $locked_at
    UNION
    SELECT refund_id FROM lake.core.mirakl__refund_taxes WHERE shop = $shop AND fetched_at >= $locked_at
),
-- sign: what is stated now counts, what was stated then is taken off; a refund's VAT is given back.
documents AS (
    SELECT 'output_sales' AS direction, true AS is_now, 1 AS sign, order_line_id AS document_id, order_id, order_line_id, currency, price_minor, shipping_price_minor AS shipping_minor
    FROM lines
    SEMI JOIN lines_since USING (order_line_id)
    WHERE debited_at < $month_start
    UNION ALL
    SELECT 'output_sales', false, -1, l.order_line_id, l.order_id, l.order_line_id, l.currency, l.price_minor, l.shipping_price_minor
    FROM (SELECT * FROM lake.core.mirakl__order_lines AT (VERSION => $locked_version)) AS l
    SEMI JOIN lines_since AS s ON s.order_line_id = l.order_line_id
    WHERE l.shop = $shop AND l.debited_at < $month_start
    UNION ALL
    SELECT 'output_refunds', true, -1, refund_id, order_id, order_line_id, currency, amount_minor, shipping_amount_minor
    FROM refunds
    SEMI JOIN refunds_since USING (refund_id)
    WHERE paid_at < $month_start
    UNION ALL
    SELECT 'output_refunds', false, 1, r.refund_id, r.order_id, r.order_line_id, r.currency, r.amount_minor, r.shipping_amount_minor
    FROM (SELECT * FROM lake.core.mirakl__refunds AT (VERSION => $locked_version)) AS r
    SEMI JOIN refunds_since AS s ON s.refund_id = r.refund_id
    WHERE r.shop = $shop AND r.paid_at < $month_start
),
line_taxes AS (
    SELECT true AS is_now, t.order_line_id, t.tax_kind, t.tax_code, t.rate, t.amount_minor
    FROM lake.core.mirakl__order_line_taxes AS t
    SEMI JOIN documents AS d ON d.order_line_id = t.order_line_id
    WHERE t.shop = $shop
    UNION ALL
    SELECT false, t.order_line_id, t.tax_kind, t.tax_code, t.rate, t.amount_minor
    FROM (SELECT * FROM lake.core.mirakl__order_line_taxes AT (VERSION => $locked_version)) AS t
    SEMI JOIN documents AS d ON d.order_line_id = t.order_line_id
    WHERE t.shop = $shop
),
refund_taxes AS (
    SELECT true AS is_now, t.refund_id, t.order_line_id, t.tax_kind, t.tax_code, t.amount_minor
    FROM lake.core.mirakl__refund_taxes AS t
    SEMI JOIN refunds_since AS s ON s.refund_id = t.refund_id
    WHERE t.shop = $shop
    UNION ALL
    SELECT false, t.refund_id, t.order_line_id, t.tax_kind, t.tax_code, t.amount_minor
    FROM (SELECT * FROM lake.core.mirakl__refund_taxes AT (VERSION => $locked_version)) AS t
    SEMI JOIN refunds_since AS s ON s.refund_id = t.refund_id
    WHERE t.shop = $shop
),
taxes AS (
    SELECT 'output_sales' AS direction, is_now, order_line_id AS document_id, tax_kind, tax_code, rate, amount_minor
    FROM line_taxes
    UNION ALL
    -- A refund's tax code has the rate of its line's tax of that code.
    SELECT 'output_refunds', t.is_now, t.refund_id, t.tax_kind, t.tax_code, q.rate, t.amount_minor
    FROM refund_taxes AS t
    LEFT JOIN line_taxes AS q
        ON q.is_now = t.is_now AND q.order_line_id = t.order_line_id AND q.tax_kind = t.tax_kind AND q.tax_code = t.tax_code
),
placed AS (
    SELECT d.*, coalesce(o.is_on_top, (SELECT is_on_top FROM order_modes WHERE order_id IS NULL)) AS is_on_top
    FROM documents AS d
    LEFT JOIN order_modes AS o ON o.order_id = d.order_id
),
-- A price or a shipping without a tax where the other has one stands on the empty code (vat_summary).
half_taxed AS (
    SELECT direction, is_now, document_id, bool_or(tax_kind = 'product') AS has_product
    FROM taxes
    GROUP BY direction, is_now, document_id
    HAVING count(DISTINCT tax_kind) = 1
),
moved AS (
    SELECT
        d.direction,
        d.document_id,
        d.order_line_id,
        d.currency,
        d.is_on_top,
        t.tax_kind,
        coalesce(t.tax_code, '') AS tax_code,
        t.rate,
        d.sign * coalesce(t.amount_minor, 0) AS tax_minor,
        d.sign * stage.vat_net(d.price_minor, d.shipping_minor, t.tax_kind, t.amount_minor, d.is_on_top) AS net_minor
    FROM placed AS d
    LEFT JOIN taxes AS t ON t.direction = d.direction AND t.is_now = d.is_now AND t.document_id = d.document_id
    UNION ALL
    SELECT
        d.direction,
        d.document_id,
        d.order_line_id,
        d.currency,
        d.is_on_top,
        NULL,
        '',
        NULL,
        0,
        d.sign * CASE WHEN h.has_product THEN d.shipping_minor ELSE d.price_minor END
    FROM placed AS d
    INNER JOIN half_taxed AS h ON h.direction = d.direction AND h.is_now = d.is_now AND h.document_id = d.document_id
)
SELECT
    direction,
    document_id,
    order_line_id,
    currency,
    is_on_top,
    tax_kind,
    tax_code,
    rate,
    CAST(sum(net_minor) AS BIGINT) AS net_minor,
    CAST(sum(tax_minor) AS BIGINT) AS tax_minor
FROM moved
GROUP BY ALL
HAVING sum(net_minor) <> 0 OR sum(tax_minor) <> 0;
