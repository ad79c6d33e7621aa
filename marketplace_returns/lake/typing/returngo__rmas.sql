-- One row per RMA in ReturnGO; key platform_return_id; GET /rma/{id}.
-- The parcel is the first shipment that is not outbound. Invariant: the number is without the RMA that is shown before it.
SELECT
    shop,
    regexp_replace(o.rmaSummary.rmaId, '^(?i:RMA)', '') AS platform_return_id,
    o.externalId AS external_id,
    coalesce(o.orderDetails.order_name, o.rmaSummary.order_name) AS order_name,
    o.orderDetails.orderId AS platform_order_id,
    o.rmaSummary.status AS status,
    o.isOutOfPolicy AS is_out_of_policy,
    parcel.carrierName AS carrier,
    parcel.trackingNumber AS tracking_number,
    parcel.labelURL AS label_url,
    o.createdAt AS created_at,
    o.lastUpdated AS updated_at,
    CAST(fetched_at AS VARCHAR) AS read_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        *,
        list_filter(o.shipments, lambda shipment: coalesce(lower(shipment.isOutbound), 'false') NOT IN ('true', '1'))[1] AS parcel
    FROM batch
) AS rmas
