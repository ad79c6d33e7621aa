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
        shop, o.order_id, o.currency_iso_code AS currency, content_hash, fetched_at, run_id,
        unnest(flatten([
            list_concat(
                [{
                    'order_line_id': line.order_line_id, 'updated_at': line.last_updated_date, 'tax_kind': 'product',
                    'tax_code': tax.code, 'amount': tax.amount, 'rate': tax.rate,
                    'calculation_rule': tax.tax_calculation_rule
                } FOR tax IN line.taxes],
                [{
                    'order_line_id': line.order_line_id, 'updated_at': line.last_updated_date, 'tax_kind': 'shipping',
                    'tax_code': tax.code, 'amount': tax.amount, 'rate': tax.rate,
                    'calculation_rule': tax.tax_calculation_rule
                } FOR tax IN line.shipping_taxes]
            ) FOR line IN o.order_lines
        ]), recursive := TRUE)
    FROM batch
) AS taxes
GROUP BY ALL
