-- One row per item of the warehouse catalogue; key item_code; GetData Item types.
-- Invariant: an item type that a whole read no longer gives stays as it was seen last, with is_listed false.
SELECT
    shop,
    o.item_code,
    o.name,
    o.barcode,
    'true' AS is_listed,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
