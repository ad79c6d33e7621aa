-- One row per operator-defined reason; key reason_type, code; RE01 reasons[].
-- Invariant: a reason that a read no longer gives stays as it was seen last.
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
