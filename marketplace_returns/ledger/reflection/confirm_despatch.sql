-- One row per confirm_despatch intent that the marketplace shows: the parcel by its shipment id (ST11), else the shipped order.
-- Source: core.mirakl__shipments, core.mirakl__orders. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__shipments AS s ON s.shop = $shop AND s.shipment_id = w.external_ref
WHERE w.kind = 'confirm_despatch'
UNION
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__orders AS o ON o.shop = $shop AND o.order_id = w.order_id
WHERE
    w.kind = 'confirm_despatch'
    AND w.natural_key = w.order_id
    AND o.order_state IN ('SHIPPED', 'TO_COLLECT', 'RECEIVED', 'CLOSED')
