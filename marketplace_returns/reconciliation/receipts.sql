-- One row per unit that was inspected, with the return unit it was given to; that is empty where no return announced it.
-- Key: receipt_event_id, unit_no. Source: model.receipts, of which only the shop's inspector has rows (named, the others are not
-- even planned), core.receipt_assignments. item_disposition is of the item that came, though another was announced. Invariant: both are read once per close.
CREATE OR REPLACE TABLE receipts AS
SELECT
    coalesce(e.receipt_event_id, a.receipt_event_id) AS receipt_event_id,
    coalesce(e.unit_no, a.unit_no) AS unit_no,
    e.receipt_event_id IS NOT NULL AS is_received,
    e.order_id,
    CASE WHEN a.matched_by = 'wrong_item' THEN 'wrong_item' ELSE e.disposition END AS disposition,
    e.disposition AS item_disposition,
    e.inspected_at,
    a.assigned_at,
    a.return_unit_id,
    a.return_id
FROM (SELECT * FROM model.receipts WHERE shop = $shop AND source_system = $inspector) AS e
FULL OUTER JOIN (SELECT * FROM lake.core.receipt_assignments WHERE shop = $shop) AS a
    ON a.receipt_event_id = e.receipt_event_id AND a.unit_no = e.unit_no;
