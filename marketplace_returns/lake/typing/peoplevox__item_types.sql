-- One row per item of the warehouse catalogue; key item_code; GetData Item types.
-- Invariant: a read gives every item type; one whose fetched_at is older than the newest is gone.
SELECT
    shop,
    o.item_code,
    o.name,
    o.barcode,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
