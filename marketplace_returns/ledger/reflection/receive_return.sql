-- One row per receive_return intent whose return the marketplace shows received.
-- Source: core.mirakl__returns (RT11). Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__returns AS r ON r.shop = $shop AND r.return_id = w.return_id
WHERE w.kind = 'receive_return' AND r.return_state IN ('RECEIVED', 'CLOSED')
