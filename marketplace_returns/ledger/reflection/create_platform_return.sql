-- One row per create_platform_return intent whose return the platform shows, by the platform's id or by our key.
-- Source: reported.returns. Parameters: $shop. Input: view done_writes.
SELECT DISTINCT w.intent_id
FROM done_writes AS w
INNER JOIN reported.returns AS r
    ON r.shop = $shop AND (r.platform_return_id = w.external_ref OR r.external_id = w.return_id)
WHERE w.kind = 'create_platform_return'
