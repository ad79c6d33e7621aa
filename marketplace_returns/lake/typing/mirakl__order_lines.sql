-- One row per order line; key order_line_id; OR11 orders[].order_lines[].
-- Invariant: the line's amounts are after cancelations and before refunds, as OR11 gives them.
SELECT
    shop,
    line.order_line_id,
    order_id,
    line.order_line_index AS line_index,
    line.order_line_state AS line_state,
    line.order_line_state_reason_code AS line_state_reason_code,
    line.offer_sku,
    line.offer_id,
    line.product_sku,
    line.category_code,
    line.quantity,
    currency_iso_code AS currency,
    line.price_unit AS unit_price,
    line.price AS price_minor,
    line.shipping_price AS shipping_price_minor,
    line.total_price AS total_price_minor,
    line.commission_fee AS commission_fee_minor,
    coalesce(line.commission_vat, sum_of_amounts([tax.amount FOR tax IN line.commission_taxes])) AS commission_vat_minor,
    sum_of_amounts([tax.amount FOR tax IN line.taxes]) AS product_tax_minor,
    sum_of_amounts([tax.amount FOR tax IN line.shipping_taxes]) AS shipping_tax_minor,
    line.can_refund,
    line.created_date AS created_at,
    line.last_updated_date AS updated_at,
    line.debited_date AS debited_at,
    line.shipped_date AS shipped_at,
    line.received_date AS received_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.currency_iso_code, o.order_id, unnest(o.order_lines) AS line, content_hash, fetched_at, run_id FROM batch
) AS order_lines
