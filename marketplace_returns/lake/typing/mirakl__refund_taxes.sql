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
    WITH refunds AS (
        SELECT *, unnest(line.refunds) AS refund FROM (SELECT *, unnest(o.order_lines) AS line FROM batch) AS order_lines
    )
    SELECT
        shop, refund.id AS refund_id, line.order_line_id, 'product' AS tax_kind, tax.code AS tax_code,
        o.currency_iso_code AS currency, tax.amount, line.last_updated_date AS updated_at, content_hash, fetched_at, run_id
    FROM (SELECT *, unnest(refund.taxes) AS tax FROM refunds)
    UNION ALL
    SELECT
        shop, refund.id, line.order_line_id, 'shipping', tax.code,
        o.currency_iso_code, tax.amount, line.last_updated_date, content_hash, fetched_at, run_id
    FROM (SELECT *, unnest(refund.shipping_taxes) AS tax FROM refunds)
) AS taxes
GROUP BY ALL
