-- One row per shipment, where multi-shipment is on; key shipment_id; ST11 data[].
-- Invariant: tracking is as confirmed to Mirakl.
SELECT
    shop,
    o.id AS shipment_id,
    o.order_id,
    o.status AS shipment_state,
    o.tracking.carrier_code,
    o.tracking.carrier_name,
    o.tracking.tracking_number,
    o.created_date AS created_at,
    o.last_updated_date AS updated_at,
    o.shipped_date AS shipped_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
