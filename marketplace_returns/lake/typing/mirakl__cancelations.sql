-- One row per cancelation of (part of) an order line; key cancelation_id; OR11 order_lines[].cancelations[].
-- Invariant: the line's own amounts are already without it.
SELECT
    shop,
    line.cancelation.id AS cancelation_id,
    order_id,
    line.order_line_id,
    line.cancelation.quantity,
    line.cancelation.reason_code,
    currency_iso_code AS currency,
    coalesce(line.cancelation.amount, '0') AS amount_minor,
    coalesce(line.cancelation.shipping_amount, '0') AS shipping_amount_minor,
    sum_of_amounts([tax.amount FOR tax IN list_concat(line.cancelation.taxes, line.cancelation.shipping_taxes)]) AS tax_minor,
    line.cancelation.created_date AS created_at,
    line.last_updated_date AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        shop, o.order_id, o.currency_iso_code, content_hash, fetched_at, run_id,
        unnest(flatten([
            [{
                'order_line_id': line.order_line_id, 'last_updated_date': line.last_updated_date, 'cancelation': cancelation
            } FOR cancelation IN line.cancelations] FOR line IN o.order_lines
        ]), recursive := FALSE) AS line
    FROM batch
) AS cancelations
