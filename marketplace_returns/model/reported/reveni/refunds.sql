-- One row per refund object in Reveni. Source: core.reveni__refunds.
SELECT
    shop,
    'reveni' AS platform,
    platform_return_id,
    platform_refund_id,
    currency,
    amount_minor,
    status,
    executed_at,
    is_advance,
    payload_hash
FROM lake.core.reveni__refunds
