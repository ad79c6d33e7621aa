-- One row per order line. Key: (shop, order_line_id). Source: OR11; item code from mapping.skus, else the offer's SKU.
CREATE OR REPLACE VIEW model.order_lines AS
SELECT
    l.shop,
    l.order_line_id,
    l.order_id,
    l.line_index,
    l.line_state,
    l.offer_sku,
    coalesce(s.item_code, l.offer_sku) AS item_code,
    l.category_code,
    l.quantity,
    l.currency,
    l.unit_price,
    l.price_minor,
    l.shipping_price_minor,
    l.total_price_minor,
    l.commission_fee_minor,
    l.commission_vat_minor,
    l.can_refund,
    l.created_at,
    l.updated_at,
    l.debited_at,
    l.shipped_at,
    l.received_at,
    l.payload_hash
FROM lake.core.mirakl__order_lines AS l
LEFT JOIN mapping.skus AS s ON s.shop = l.shop AND s.offer_sku = l.offer_sku;
