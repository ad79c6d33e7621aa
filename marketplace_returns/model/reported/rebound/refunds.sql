-- No rows: ReBound tells of no refund that it paid. Source: core.rebound__returns, for the types alone.
SELECT
    shop,
    'rebound' AS platform,
    platform_return_id,
    CAST(NULL AS VARCHAR) AS platform_refund_id,
    CAST(NULL AS VARCHAR) AS currency,
    CAST(NULL AS BIGINT) AS amount_minor,
    CAST(NULL AS VARCHAR) AS status,
    CAST(NULL AS TIMESTAMPTZ) AS executed_at,
    false AS is_advance,
    payload_hash
FROM lake.core.rebound__returns
WHERE false
