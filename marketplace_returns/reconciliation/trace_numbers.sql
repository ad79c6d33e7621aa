-- One row per number that stands for an order or a part of it, named as an exception's entity names it. Key: (name, number).
-- A unit is a line's (<order_line_id>#<ordinal>), and a receipt belongs to the order of the unit it was given to.
-- Source: core tables alone, so that a lake can be asked that was just restored; never an e-mail.
WITH lines AS (
    SELECT order_line_id FROM lake.core.mirakl__order_lines WHERE shop = $shop AND order_id = $order_id
),

units AS (
    SELECT a.return_id, a.order_line_id || '#' || a.ordinal AS return_unit_id
    FROM lake.core.return_unit_assignments AS a
    SEMI JOIN lines AS l ON l.order_line_id = a.order_line_id
    WHERE a.shop = $shop
)

SELECT 'order_line_id' AS name, order_line_id AS number FROM lines
UNION
SELECT 'refund_id', refund_id FROM lake.core.mirakl__refunds WHERE shop = $shop AND order_id = $order_id
UNION
SELECT 'transaction_id', transaction_id FROM lake.core.mirakl__transactions WHERE shop = $shop AND order_id = $order_id
UNION
SELECT 'return_id', return_id FROM lake.core.mirakl__returns WHERE shop = $shop AND order_id = $order_id
UNION
SELECT 'return_id', return_id FROM units
UNION
SELECT 'return_unit_id', return_unit_id FROM units
UNION
SELECT 'receipt_event_id', e.receipt_event_id
FROM lake.core.receipt_assignments AS e
SEMI JOIN units AS u ON u.return_unit_id = e.return_unit_id
WHERE e.shop = $shop
ORDER BY ALL;
