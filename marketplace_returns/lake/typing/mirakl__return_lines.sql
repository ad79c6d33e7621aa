-- One row per order line of a return; key return_id, order_line_id; RT11 data[].return_lines[].
-- Invariant: quantity is what was announced, not what came.
SELECT
    shop,
    id AS return_id,
    order_id,
    line.order_line_id,
    line.quantity,
    line.reason_code,
    line.compliance,
    last_updated AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.id, o.last_updated, o.order_id, unnest(o.return_lines) AS line, content_hash, fetched_at, run_id FROM batch
) AS return_lines
