-- One row per despatched item line; key despatch_number, item_code, row_no; report Despatch summary.
-- Invariant: words are the tenant's own; mappings/*.csv give them a meaning.
SELECT
    shop,
    o.despatch_number,
    o.sales_order_number,
    o.item_code,
    o.row_no,
    o.quantity,
    o.carrier,
    o.service,
    o.tracking_number,
    o.site,
    o.despatched_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
