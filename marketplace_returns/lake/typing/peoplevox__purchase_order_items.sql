-- One row per line of a purchase order; key purchase_order_number, line; GetData Purchase order items.
-- Invariant: no line is dropped; one that a later read no longer gives stays as it was seen last.
SELECT
    shop,
    purchase_order_number,
    item.line,
    item.item_code,
    item.quantity,
    item.status,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.purchase_order_number, unnest(o.items) AS item, content_hash, fetched_at, run_id FROM batch
) AS items
