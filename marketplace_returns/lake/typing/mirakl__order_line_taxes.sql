-- One row per tax of an order line; key order_line_id, tax_kind, tax_code; OR11 taxes[] and shipping_taxes[].
-- Invariant: the tax of the whole line; a code that comes twice on a line is summed.
SELECT
    shop,
    order_line_id,
    order_id,
    tax_kind,
    tax_code,
    currency,
    sum_of_amounts(list(amount)) AS amount_minor,
    any_value(rate) AS rate,
    any_value(calculation_rule) AS calculation_rule,
    updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        shop, line.order_line_id, o.order_id, 'product' AS tax_kind, tax.code AS tax_code,
        o.currency_iso_code AS currency, tax.amount, tax.rate, tax.tax_calculation_rule AS calculation_rule,
        line.last_updated_date AS updated_at, content_hash, fetched_at, run_id
    FROM (SELECT *, unnest(line.taxes) AS tax FROM (SELECT *, unnest(o.order_lines) AS line FROM batch) AS order_lines)
    UNION ALL
    SELECT
        shop, line.order_line_id, o.order_id, 'shipping', tax.code,
        o.currency_iso_code, tax.amount, tax.rate, tax.tax_calculation_rule,
        line.last_updated_date, content_hash, fetched_at, run_id
    FROM (
        SELECT *, unnest(line.shipping_taxes) AS tax FROM (SELECT *, unnest(o.order_lines) AS line FROM batch) AS order_lines
    )
) AS taxes
GROUP BY ALL
