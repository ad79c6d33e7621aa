-- One row per resolve_incident intent whose order line has no open incident.
-- Source: core.mirakl__order_lines (OR11). Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = w.order_line_id
WHERE w.kind = 'resolve_incident' AND l.line_state <> 'INCIDENT_OPEN'
