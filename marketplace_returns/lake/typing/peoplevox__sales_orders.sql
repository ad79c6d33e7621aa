-- One row per sales order in the warehouse; key sales_order_number; GetData Sales orders.
-- Invariant: words are the tenant's own; mappings/*.csv give them a meaning.
SELECT
    shop,
    o.sales_order_number,
    o.status,
    o.created_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
