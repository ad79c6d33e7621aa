-- One row per item of a delivery; key goods_in_reference, item_code, row_no; report Goods in summary.
-- Invariant: words are the tenant's own; mappings/*.csv give them a meaning.
SELECT
    shop,
    o.goods_in_reference,
    o.purchase_order_number,
    o.item_code,
    o.row_no,
    o.quantity,
    o.site,
    o.delivered_at,
    nullif(o.reconciled_at, '') AS reconciled_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
