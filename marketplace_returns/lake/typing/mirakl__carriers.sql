-- One row per registered carrier; key code; SH21 carriers[].
-- Invariant: a read gives every carrier; one whose fetched_at is older than the newest is gone.
SELECT
    shop,
    o.code,
    o.label,
    o.standard_code,
    o.tracking_url,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
