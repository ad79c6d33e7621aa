-- One row per operator-defined reason; key reason_type, code; RE01 reasons[].
-- Invariant: a read gives every reason; one whose fetched_at is older than the newest is gone.
SELECT
    shop,
    o.type AS reason_type,
    o.code,
    o.label,
    o.is_shop_right,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
