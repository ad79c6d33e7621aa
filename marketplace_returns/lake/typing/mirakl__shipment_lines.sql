-- One row per order line of a shipment; key shipment_id, order_line_id; ST11 data[].shipment_lines[].
-- Invariant: the units of one order line over all its shipments are at most the line's.
SELECT
    shop,
    id AS shipment_id,
    order_id,
    line.order_line_id,
    line.quantity,
    line.package_reference,
    last_updated_date AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.id, o.last_updated_date, o.order_id, unnest(o.shipment_lines) AS line, content_hash, fetched_at, run_id FROM batch
) AS shipment_lines
