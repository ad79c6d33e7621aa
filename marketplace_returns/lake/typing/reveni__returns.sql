-- One row per return in Reveni; key platform_return_id; GET /returns results[].
-- Invariant: Reveni's own amounts are kept to compare, and never become a refund of ours (R3).
SELECT
    shop,
    o.id AS platform_return_id,
    o.external_id,
    o."order".external_id AS order_id,
    o."order".name AS order_name,
    upper(o.status) AS status,
    upper(o.type) AS return_type,
    o.is_instant,
    o.currency,
    o.total_amount AS total_amount_minor,
    o.refund_amount AS refund_amount_minor,
    o.restock_choice,
    o.delivery.carrier,
    o.delivery.tracking_number,
    o.delivery.label_url,
    o.created_at,
    o.updated_at,
    o.shipped_at,
    o.received_at,
    o.resolved_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
