-- One row per item of the site; key item_code; report Item inventory summary.
-- Invariant: fetched_at is when the figures changed; an item that a read no longer gives stays as it was seen last.
SELECT
    shop,
    o.item_code,
    o.site,
    o.available,
    o.on_hand,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
