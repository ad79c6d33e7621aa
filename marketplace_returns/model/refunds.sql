-- One row per refund the marketplace knows, whoever made it. Key: (shop, refund_id). Source: OR11 refunds[].
CREATE OR REPLACE VIEW model.refunds AS
SELECT
    r.shop,
    r.refund_id,
    r.order_refund_id,
    r.order_id,
    r.order_line_id,
    r.refund_state,
    r.reason_code,
    r.currency,
    r.amount_minor,
    r.shipping_amount_minor,
    r.tax_minor,
    r.shipping_tax_minor,
    CASE o.order_tax_mode
        WHEN 'TAX_EXCLUDED' THEN r.amount_minor + r.shipping_amount_minor + r.tax_minor + r.shipping_tax_minor
        ELSE r.amount_minor + r.shipping_amount_minor
    END AS total_minor,
    r.created_at,
    r.paid_at,
    r.payload_hash
FROM lake.core.mirakl__refunds AS r
INNER JOIN lake.core.mirakl__orders AS o ON o.shop = r.shop AND o.order_id = r.order_id;
