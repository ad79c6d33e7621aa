-- One row per accept_order intent that the lake shows done: the order left WAITING_ACCEPTANCE and was not refused.
-- Source: core.mirakl__orders (OR11). Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__orders AS o ON o.shop = $shop AND o.order_id = w.order_id
WHERE w.kind = 'accept_order' AND o.order_state NOT IN ('STAGING', 'WAITING_ACCEPTANCE', 'REFUSED')
