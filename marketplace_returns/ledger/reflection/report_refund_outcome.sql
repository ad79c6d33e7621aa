-- One row per report_refund_outcome intent whose platform return has no item left without a verdict.
-- Source: core.reveni__return_items. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.reveni__return_items AS i ON i.shop = $shop AND i.platform_return_id = w.natural_key
WHERE w.kind = 'report_refund_outcome'
GROUP BY w.intent_id
HAVING bool_and(i.item_status <> 'PENDING')
