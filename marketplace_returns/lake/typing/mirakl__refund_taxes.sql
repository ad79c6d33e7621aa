-- One row per tax of a refund; key refund_id, tax_kind, tax_code; OR11 refunds[].taxes[] and shipping_taxes[].
-- Invariant: a code that comes twice on a refund is summed, so the rows add up to mirakl__refunds.
SELECT
    shop,
    refund_id,
    order_line_id,
    tax_kind,
    tax_code,
    currency,
    sum_of_amounts(list(amount)) AS amount_minor,
    updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        shop, o.currency_iso_code AS currency, content_hash, fetched_at, run_id,
        unnest(flatten(flatten([[
            list_concat(
                [{
                    'refund_id': refund.id, 'order_line_id': line.order_line_id,
                    'updated_at': line.last_updated_date, 'tax_kind': 'product',
                    'tax_code': tax.code, 'amount': tax.amount
                } FOR tax IN refund.taxes],
                [{
                    'refund_id': refund.id, 'order_line_id': line.order_line_id,
                    'updated_at': line.last_updated_date, 'tax_kind': 'shipping',
                    'tax_code': tax.code, 'amount': tax.amount
                } FOR tax IN refund.shipping_taxes]
            ) FOR refund IN line.refunds
        ] FOR line IN o.order_lines])), recursive := TRUE)
    FROM batch
) AS taxes
GROUP BY ALL
