-- One row per item line of a Reveni return; key platform_return_id, item_id; return_items[].
-- Invariant: sku is what was announced, received_sku what came instead.
SELECT
    shop,
    id AS platform_return_id,
    item.id AS item_id,
    item.external_id,
    item.sku,
    item.received_sku,
    item.quantity,
    upper(item.status) AS item_status,
    item.return_reason,
    item.reject_reason,
    currency,
    item.unit_price,
    item.tax_amount AS tax_amount_minor,
    updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.currency, o.id, o.updated_at, unnest(o.return_items) AS item, content_hash, fetched_at, run_id FROM batch
) AS return_items
