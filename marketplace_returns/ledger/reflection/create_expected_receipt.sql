-- One row per create_expected_receipt intent whose purchase order the warehouse shows.
-- Source: core.peoplevox__purchase_orders. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.peoplevox__purchase_orders AS p ON p.shop = $shop AND p.purchase_order_number = w.external_ref
WHERE w.kind = 'create_expected_receipt'
