-- One row per create_warehouse_order intent that the warehouse shows: its sales order, or for a cancellation (<order id>/cancel)
-- that it is cancelled.
-- Source: core.peoplevox__sales_orders. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.peoplevox__sales_orders AS s ON s.shop = $shop AND s.sales_order_number = w.order_id
WHERE
    w.kind = 'create_warehouse_order'
    AND (NOT ends_with(w.natural_key, '/cancel') OR lower(s.status) IN ('cancelled', 'canceled', 'deleted'))
