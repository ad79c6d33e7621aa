-- One row per create_warehouse_order intent whose sales order the warehouse shows.
-- Source: core.peoplevox__sales_orders. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.peoplevox__sales_orders AS s ON s.shop = $shop AND s.sales_order_number = w.order_id
WHERE w.kind = 'create_warehouse_order'
