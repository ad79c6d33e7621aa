-- One row per refund of an order line, whoever made it; key refund_id; OR11 order_lines[].refunds[].
-- Invariant: amounts are in the order's tax mode; taxes are the sums of the refund's own tax lists.
SELECT
    shop,
    line.refund.id AS refund_id,
    line.refund.order_refund_id,
    order_id,
    line.order_line_id,
    coalesce(line.refund.refund_state, line.refund.state) AS refund_state,
    line.refund.reason_code,
    line.refund.quantity,
    currency_iso_code AS currency,
    coalesce(line.refund.amount, '0') AS amount_minor,
    coalesce(line.refund.shipping_amount, '0') AS shipping_amount_minor,
    sum_of_amounts([tax.amount FOR tax IN line.refund.taxes]) AS tax_minor,
    sum_of_amounts([tax.amount FOR tax IN line.refund.shipping_taxes]) AS shipping_tax_minor,
    line.refund.commission_amount AS commission_minor,
    sum_of_amounts([tax.amount FOR tax IN line.refund.commission_taxes]) AS commission_vat_minor,
    line.refund.created_date AS created_at,
    line.refund.transaction_date AS paid_at,
    line.refund.transaction_number,
    line.last_updated_date AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        shop, o.order_id, o.currency_iso_code, content_hash, fetched_at, run_id,
        unnest(flatten([
            [{
                'order_line_id': line.order_line_id, 'last_updated_date': line.last_updated_date, 'refund': refund
            } FOR refund IN line.refunds] FOR line IN o.order_lines
        ]), recursive := FALSE) AS line
    FROM batch
) AS refunds
