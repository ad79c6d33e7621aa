-- One row per refund of an order line, whoever made it; key refund_id; OR11 order_lines[].refunds[].
-- Invariant: amounts are in the order's tax mode; taxes are the sums of the refund's own tax lists.
SELECT
    shop,
    refund.id AS refund_id,
    refund.order_refund_id,
    o.order_id,
    line.order_line_id,
    coalesce(refund.refund_state, refund.state) AS refund_state,
    refund.reason_code,
    refund.quantity,
    o.currency_iso_code AS currency,
    coalesce(refund.amount, '0') AS amount_minor,
    coalesce(refund.shipping_amount, '0') AS shipping_amount_minor,
    sum_of_amounts([tax.amount FOR tax IN refund.taxes]) AS tax_minor,
    sum_of_amounts([tax.amount FOR tax IN refund.shipping_taxes]) AS shipping_tax_minor,
    refund.commission_amount AS commission_minor,
    sum_of_amounts([tax.amount FOR tax IN refund.commission_taxes]) AS commission_vat_minor,
    refund.created_date AS created_at,
    refund.transaction_date AS paid_at,
    refund.transaction_number,
    line.last_updated_date AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT *, unnest(line.refunds) AS refund FROM (SELECT *, unnest(o.order_lines) AS line FROM batch) AS order_lines
) AS refunds
