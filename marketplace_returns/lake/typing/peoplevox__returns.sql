-- One row per inspected return line; key return_code, item_code, row_no; report Return summary.
-- Invariant: words are the tenant's own; mappings/*.csv give them a meaning.
SELECT
    shop,
    o.return_code,
    o.sales_order_number,
    o.item_code,
    o.row_no,
    o.quantity,
    o.return_condition,
    o.is_reusable,
    o.return_reason,
    o.site,
    o.returned_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
