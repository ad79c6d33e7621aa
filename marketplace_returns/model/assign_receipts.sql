-- Rows to add to core.receipt_assignments: new pairs of a received unit and the return unit it is, one to one: first by (order, item code), then what is left of
-- an order whose receipt is of another item (wrong item). Oldest receipt meets oldest return. What is paired stays paired.
WITH arrived AS (
    SELECT e.shop, e.receipt_event_id, e.unit_no, e.order_id, e.item_code, e.disposition, e.inspected_at
    FROM model.receipts AS e
    ANTI JOIN lake.core.receipt_assignments AS a
        ON a.shop = e.shop AND a.receipt_event_id = e.receipt_event_id AND a.unit_no = e.unit_no
    WHERE e.shop = $shop
),
expected AS (
    SELECT u.shop, u.return_unit_id, u.return_id, u.assigned_as, u.order_id, u.item_code, u.requested_at, u.ordinal
    FROM model.return_units AS u
    ANTI JOIN lake.core.receipt_assignments AS a ON a.shop = u.shop AND a.return_unit_id = u.return_unit_id
    WHERE u.shop = $shop AND NOT u.is_void AND NOT u.is_over_quantity
),
by_item AS (
    SELECT e.shop, e.receipt_event_id, e.unit_no, x.return_unit_id, x.assigned_as
    FROM (
        SELECT *, row_number() OVER (
            PARTITION BY order_id, item_code ORDER BY inspected_at, receipt_event_id, unit_no
        ) AS place
        FROM arrived
    ) AS e
    INNER JOIN (
        SELECT *, row_number() OVER (
            PARTITION BY order_id, item_code ORDER BY requested_at, return_id, return_unit_id
        ) AS place
        FROM expected
    ) AS x ON x.order_id = e.order_id AND x.item_code = e.item_code AND x.place = e.place
),
by_order AS (
    SELECT e.shop, e.receipt_event_id, e.unit_no, x.return_unit_id, x.assigned_as
    FROM (
        SELECT a.*, row_number() OVER (
            PARTITION BY a.order_id ORDER BY a.inspected_at, a.receipt_event_id, a.unit_no
        ) AS place
        FROM arrived AS a
        ANTI JOIN by_item AS b ON b.receipt_event_id = a.receipt_event_id AND b.unit_no = a.unit_no
        -- an item that is itself on the order and not expected back is an unexpected receipt, not a wrong item
        ANTI JOIN model.order_lines AS l ON l.shop = a.shop AND l.order_id = a.order_id AND l.item_code = a.item_code
    ) AS e
    INNER JOIN (
        SELECT p.*, row_number() OVER (PARTITION BY p.order_id ORDER BY p.requested_at, p.return_id, p.return_unit_id)
            AS place
        FROM expected AS p
        ANTI JOIN by_item AS b ON b.return_unit_id = p.return_unit_id
    ) AS x ON x.order_id = e.order_id AND x.place = e.place
)
SELECT shop, receipt_event_id, unit_no, return_unit_id, assigned_as AS return_id, 'item' AS matched_by, $assigned_at AS assigned_at
FROM by_item
UNION ALL
SELECT shop, receipt_event_id, unit_no, return_unit_id, assigned_as AS return_id, 'wrong_item' AS matched_by, $assigned_at AS assigned_at
FROM by_order;
