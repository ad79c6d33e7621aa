-- One row per item and site; key item_code, site; report Item inventory summary.
-- Invariant: fetched_at is when the figures changed; an item that a whole read no longer gives stays as it was seen last,
-- with is_listed false.
SELECT
    shop,
    o.item_code,
    o.site,
    o.available,
    o.on_hand,
    'true' AS is_listed,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
