-- One row per offer of the shop; key offer_sku; OF21 offers[].
-- Invariant: fetched_at is when the offer first said this; an offer that a read no longer gives stays as it was seen last.
SELECT
    shop,
    o.shop_sku AS offer_sku,
    o.offer_id,
    o.product_sku,
    o.product_title,
    o.category_code,
    o.quantity,
    o.active AS is_active,
    o.inactivity_reasons,
    o.currency_iso_code AS currency,
    o.price AS price_minor,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
