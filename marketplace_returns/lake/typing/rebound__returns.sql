-- One row per return in ReBound; key platform_return_id; the shape of sources/rebound/layout.py.
-- Invariant: it holds no amount: ReBound tells none of a return, and prices of its items have no currency.
SELECT
    shop,
    o.id AS platform_return_id,
    o.external_id,
    o.order_reference AS order_id,
    o.status,
    o.carrier,
    o.tracking AS tracking_number,
    o.label_url,
    o.verification_entity,
    o.date_added AS created_at,
    coalesce(o.updated_at, o.tracking_last_update) AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
