-- One row per registered carrier; key code; SH21 carriers[].
-- Invariant: a carrier that a read no longer gives stays as it was seen last.
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
