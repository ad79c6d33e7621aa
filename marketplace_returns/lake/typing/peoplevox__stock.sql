-- One row per item of the site; key item_code; report Item inventory summary.
-- Invariant: a read gives every item of the site; one whose fetched_at is older than the newest is no longer listed.
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
