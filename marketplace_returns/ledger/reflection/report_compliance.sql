-- One row per report_compliance intent where every line of the return carries its compliance.
-- Source: core.mirakl__return_lines (RT11). Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__return_lines AS l ON l.shop = $shop AND l.return_id = w.return_id
WHERE w.kind = 'report_compliance'
GROUP BY w.intent_id
HAVING bool_and(l.compliance IS NOT NULL)
