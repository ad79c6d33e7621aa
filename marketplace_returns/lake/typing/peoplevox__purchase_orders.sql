-- One row per returns purchase order; key purchase_order_number; GetData Purchase orders.
-- Invariant: words are the tenant's own; mappings/*.csv give them a meaning.
SELECT
    shop,
    o.purchase_order_number,
    o.status,
    o.reference,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
