-- One row per place a return's parcel was seen at; key platform_return_id, status, occurred_at; track[].
-- Invariant: what was seen stays, whatever a later payload leaves out.
SELECT
    shop,
    id AS platform_return_id,
    event.status,
    event.dt AS occurred_at,
    tracking AS tracking_number,
    event.country,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.id, o.tracking, unnest(o.track) AS event, content_hash, fetched_at, run_id FROM batch
) AS events
WHERE nullif(event.status, '') IS NOT NULL
