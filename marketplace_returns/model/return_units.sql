-- One row per physical unit announced on a return. Key: (shop, return_unit_id); return_unit_id = <order_line_id>#<ordinal>.
-- Units of refused or cancelled returns are left out unless something of theirs arrived (their ordinal is free again).
-- expected_receipt: the warehouse's purchase order that announced the parcel, so that the receipt links to it (R52).
-- assigned_as: the name its return had when the unit was given. reason_code: the marketplace's word; platform_reason: the
-- platform's, where the marketplace has none. Source: RT11 lines, reported.items, core.return_unit_assignments (the ordinal,
-- given once), core.receipt_assignments (the receipt, given once).
CREATE OR REPLACE VIEW model.return_units AS
SELECT
    a.shop,
    a.order_line_id || '#' || a.ordinal AS return_unit_id,
    c.return_id,
    a.return_id AS assigned_as,
    c.order_id,
    a.order_line_id,
    a.unit_no,
    a.ordinal,
    l.quantity AS line_quantity,
    a.ordinal > coalesce(l.quantity, 0) AS is_over_quantity,
    l.offer_sku,
    l.item_code,
    rl.reason_code,
    CASE WHEN rl.reason_code IS NULL THEN i.return_reason END AS platform_reason,
    c.return_state,
    c.is_void,
    c.is_ended,
    c.created_at AS requested_at,
    c.platform_return_id,
    c.shipped_at,
    c.platform_received_at,
    e.receipt_event_id,
    e.source_system AS receipt_source,
    e.source_code AS receipt_source_code,
    e.item_code AS received_item_code,
    e.inspected_at AS received_at,
    e.inspected_at,
    CASE WHEN r.matched_by = 'wrong_item' THEN 'wrong_item' ELSE e.disposition END AS disposition,
    l.currency,
    model.unit_share(l.price_minor, a.ordinal, l.quantity) AS unit_value_minor,
    e.payload_hash AS receipt_payload_hash,
    p.purchase_order_number AS expected_receipt
FROM lake.core.return_unit_assignments AS a
INNER JOIN model.return_names AS n ON n.shop = a.shop AND n.name = a.return_id
INNER JOIN model.return_cases AS c ON c.shop = n.shop AND c.return_id = n.return_id
LEFT JOIN lake.core.mirakl__return_lines AS rl
    ON rl.shop = a.shop AND rl.return_id = c.return_id AND rl.order_line_id = a.order_line_id
LEFT JOIN model.order_lines AS l ON l.shop = a.shop AND l.order_line_id = a.order_line_id
LEFT JOIN (
    SELECT shop, platform_return_id, sku, min(return_reason) AS return_reason
    FROM reported.items
    GROUP BY shop, platform_return_id, sku
) AS i ON i.shop = c.shop AND i.platform_return_id = c.platform_return_id AND i.sku = l.offer_sku
LEFT JOIN lake.core.receipt_assignments AS r
    ON r.shop = a.shop AND r.return_unit_id = a.order_line_id || '#' || a.ordinal AND r.return_id = a.return_id
LEFT JOIN model.receipts AS e
    ON e.shop = r.shop AND e.receipt_event_id = r.receipt_event_id AND e.unit_no = r.unit_no
LEFT JOIN lake.core.peoplevox__purchase_orders AS p
    ON p.shop = a.shop AND p.purchase_order_number = 'RTN-' || a.return_id
WHERE NOT c.is_void OR r.return_unit_id IS NOT NULL;
