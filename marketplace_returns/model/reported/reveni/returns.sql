-- One row per return in Reveni. Source: core.reveni__returns.
SELECT
    shop,
    'reveni' AS platform,
    platform_return_id,
    external_id,
    order_id,
    status AS platform_status,
    is_instant,
    currency,
    refund_amount_minor,
    carrier,
    tracking_number,
    label_url,
    created_at,
    updated_at,
    shipped_at,
    received_at,
    resolved_at,
    payload_hash
FROM lake.core.reveni__returns
