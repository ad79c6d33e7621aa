-- One row per report_refund_outcome intent whose platform return waits for no outcome any more.
-- Source: reported.items. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN reported.items AS i ON i.shop = $shop AND i.platform_return_id = w.natural_key
WHERE w.kind = 'report_refund_outcome'
GROUP BY w.intent_id
HAVING NOT bool_or(i.is_outcome_due)
