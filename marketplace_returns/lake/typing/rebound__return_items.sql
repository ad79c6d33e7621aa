-- One row per item of a ReBound return; key platform_return_id, item_id; item[].
-- Invariant: quantity is what was announced, received_quantity what came; the one never stands for the other.
SELECT
    shop,
    id AS platform_return_id,
    item.item_id,
    item.line_key AS order_line_id,
    item.sku_code AS sku,
    item.received_sku,
    item.quantity,
    item.quantity_received AS received_quantity,
    item.reason[1].reason AS reason,
    item.reason[1].wish AS wish,
    item.final_disposition AS disposition,
    coalesce(nullif(item.verification_entity, ''), verification_entity) AS verification_entity,
    item.disposition_at AS inspected_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.id, o.verification_entity, unnest(o.item) AS item, content_hash, fetched_at, run_id FROM batch
) AS items
