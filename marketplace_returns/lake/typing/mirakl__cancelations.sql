-- One row per cancelation of (part of) an order line; key cancelation_id; OR11 order_lines[].cancelations[].
-- Invariant: the line's own amounts are already without it.
SELECT
    shop,
    cancelation.id AS cancelation_id,
    o.order_id,
    line.order_line_id,
    cancelation.quantity,
    cancelation.reason_code,
    o.currency_iso_code AS currency,
    coalesce(cancelation.amount, '0') AS amount_minor,
    coalesce(cancelation.shipping_amount, '0') AS shipping_amount_minor,
    sum_of_amounts([tax.amount FOR tax IN list_concat(cancelation.taxes, cancelation.shipping_taxes)]) AS tax_minor,
    cancelation.created_date AS created_at,
    line.last_updated_date AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT *, unnest(line.cancelations) AS cancelation FROM (SELECT *, unnest(o.order_lines) AS line FROM batch) AS order_lines
) AS cancelations
