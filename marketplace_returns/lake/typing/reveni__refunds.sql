-- One row per refund object in Reveni; key platform_refund_id; refunds[].
-- Invariant: what the platform says it paid, to be held against what the marketplace paid.
SELECT
    shop,
    refund.id AS platform_refund_id,
    id AS platform_return_id,
    coalesce(refund.currency, currency) AS currency,
    refund.amount AS amount_minor,
    refund.method,
    upper(refund.status) AS status,
    refund.is_advance,
    refund.executed_at,
    updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.currency, o.id, o.updated_at, unnest(o.refunds) AS refund, content_hash, fetched_at, run_id FROM batch
) AS refunds
