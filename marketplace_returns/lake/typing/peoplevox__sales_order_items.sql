-- One row per line of a sales order; key sales_order_number, line; GetData Sales order items.
-- Invariant: no line is dropped; one that a later read no longer gives stays as it was seen last.
SELECT
    shop,
    sales_order_number,
    item.line,
    item.item_code,
    item.quantity,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.sales_order_number, unnest(o.items) AS item, content_hash, fetched_at, run_id FROM batch
) AS items
