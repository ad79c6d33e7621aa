-- One row per received unit that no return announced. Key: (receipt_event_id, unit_no).
-- has_order: the marketplace order is known. Source: model.receipts, core.receipt_assignments.
SELECT
    e.receipt_event_id,
    e.unit_no,
    e.order_id,
    e.item_code,
    e.source_code,
    e.inspected_at,
    o.order_id IS NOT NULL AS has_order
FROM model.receipts AS e
ANTI JOIN lake.core.receipt_assignments AS a
    ON a.shop = e.shop AND a.receipt_event_id = e.receipt_event_id AND a.unit_no = e.unit_no
LEFT JOIN model.orders AS o ON o.shop = e.shop AND o.order_id = e.order_id
WHERE e.shop = $shop
ORDER BY e.inspected_at, e.receipt_event_id, e.unit_no;
