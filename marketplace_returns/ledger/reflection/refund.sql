-- One row per refund intent whose refund the marketplace shows on the order line (OR11 refunds[]).
-- Source: core.mirakl__refunds. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__refunds AS r ON r.shop = $shop AND r.refund_id = w.external_ref
WHERE w.kind = 'refund'
