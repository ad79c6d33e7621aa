-- One row per thing that happened to an order, line or return, with its time and source (R7). Key: none; ordered by occurred_at.
CREATE OR REPLACE VIEW model.events AS
SELECT shop, order_id, NULL AS order_line_id, NULL AS return_id, 'order_created' AS event, 'mirakl' AS source,
    created_at AS occurred_at, order_id AS reference, payload_hash
FROM model.orders
UNION ALL
SELECT shop, order_id, NULL, NULL, 'order_accepted', 'mirakl', acceptance_decided_at, order_id, payload_hash
FROM model.orders WHERE acceptance_decided_at IS NOT NULL
UNION ALL
SELECT shop, order_id, NULL, NULL, 'customer_debited', 'mirakl', customer_debited_at, order_id, payload_hash
FROM model.orders WHERE customer_debited_at IS NOT NULL
UNION ALL
SELECT shop, order_id, order_line_id, NULL, 'despatched', 'peoplevox', despatched_at, despatch_number, payload_hash
FROM model.despatches
UNION ALL
SELECT shop, order_id, order_line_id, NULL, 'shipped', 'mirakl', shipped_at, order_line_id, payload_hash
FROM model.order_lines WHERE shipped_at IS NOT NULL
UNION ALL
SELECT shop, order_id, order_line_id, NULL, 'received_by_customer', 'mirakl', received_at, order_line_id, payload_hash
FROM model.order_lines WHERE received_at IS NOT NULL
UNION ALL
SELECT shop, order_id, NULL, return_id, 'return_requested', 'mirakl', created_at, return_id, payload_hash
FROM model.return_cases
UNION ALL
SELECT c.shop, c.order_id, NULL, c.return_id, 'return_created_on_platform', p.platform, p.created_at,
    p.platform_return_id, p.payload_hash
FROM model.return_cases AS c
INNER JOIN model.platform_returns AS p ON p.shop = c.shop AND p.platform_return_id = c.platform_return_id
UNION ALL
SELECT c.shop, c.order_id, NULL, c.return_id, 'return_in_transit', p.platform, p.shipped_at, p.tracking_number,
    p.payload_hash
FROM model.return_cases AS c
INNER JOIN model.platform_returns AS p ON p.shop = c.shop AND p.platform_return_id = c.platform_return_id
WHERE p.shipped_at IS NOT NULL
UNION ALL
SELECT c.shop, c.order_id, NULL, c.return_id, 'return_received', p.platform, p.received_at, p.platform_return_id,
    p.payload_hash
FROM model.return_cases AS c
INNER JOIN model.platform_returns AS p ON p.shop = c.shop AND p.platform_return_id = c.platform_return_id
WHERE p.received_at IS NOT NULL
UNION ALL
SELECT shop, order_id, order_line_id, return_id, 'inspected_' || coalesce(disposition, 'unmapped'), receipt_source,
    inspected_at, receipt_event_id, receipt_payload_hash
FROM model.return_units WHERE inspected_at IS NOT NULL
UNION ALL
SELECT shop, order_id, order_line_id, NULL, 'refund_requested', 'mirakl', created_at, refund_id, payload_hash
FROM model.refunds
UNION ALL
SELECT shop, order_id, order_line_id, NULL, 'refund_paid', 'mirakl', paid_at, refund_id, payload_hash
FROM model.refunds WHERE paid_at IS NOT NULL
UNION ALL
SELECT t.shop, t.order_id, t.order_line_id, NULL, 'settled', 'mirakl', c.created_at, t.billing_cycle_id, c.payload_hash
FROM (
    SELECT DISTINCT shop, order_id, order_line_id, billing_cycle_id
    FROM lake.core.mirakl__transactions
    WHERE billing_cycle_id IS NOT NULL AND order_line_id IS NOT NULL AND transaction_type LIKE 'REFUND_%'
) AS t
INNER JOIN lake.core.mirakl__billing_cycles AS c ON c.shop = t.shop AND c.billing_cycle_id = t.billing_cycle_id;
