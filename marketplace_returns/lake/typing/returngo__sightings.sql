-- One row per status that an RMA or a shipment of it was seen in; key platform_return_id, subject, subject_id, status.
-- Invariant: nothing but the key changes, so fetched_at stays the first time it was seen.
SELECT
    shop,
    platform_return_id,
    'rma' AS subject,
    platform_return_id AS subject_id,
    o.rmaSummary.status AS status,
    'false' AS is_outbound,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (SELECT *, regexp_replace(o.rmaSummary.rmaId, '^(?i:RMA)', '') AS platform_return_id FROM batch) AS rmas
UNION ALL
SELECT
    shop,
    platform_return_id,
    'shipment' AS subject,
    shipment.shipmentId AS subject_id,
    shipment.status,
    shipment.isOutbound AS is_outbound,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        shop,
        regexp_replace(o.rmaSummary.rmaId, '^(?i:RMA)', '') AS platform_return_id,
        unnest(o.shipments) AS shipment,
        content_hash,
        fetched_at,
        run_id
    FROM batch
) AS shipments
