-- One row per fact of the warehouse or the returns platform that the marketplace does not show in time (R31, R39): a receipt
-- whose return is still on its way there, an inspected unit without compliance, a confirmed write the source does not show.
-- Key: (fact, reference); oldest first. Source: model.return_units, RT11, confirmed writes of the ledger.
SELECT
    'received' AS fact,
    u.return_id AS reference,
    u.order_id,
    u.return_id,
    u.return_state AS shown_as,
    min(u.inspected_at) AS since,
    date_diff('hour', min(u.inspected_at), $now) AS age_hours,
    coalesce(max(w.state), 'no write') AS write_state,
    coalesce(max(nullif(w.last_error, '')), '') AS detail
FROM model.return_units AS u
LEFT JOIN ledger.writes AS w ON w.shop = u.shop AND w.kind = 'receive_return' AND w.return_id = u.return_id
WHERE
    u.shop = $shop AND u.inspected_at < $reflected_before AND u.return_state IN ('WAITING_ACCEPTANCE', 'IN_PROGRESS')
GROUP BY u.return_id, u.order_id, u.return_state
UNION ALL
SELECT
    'inspected', u.return_unit_id, u.order_id, u.return_id, u.return_state, u.inspected_at,
    date_diff('hour', u.inspected_at, $now), coalesce(w.state, 'no write'), coalesce(w.last_error, '')
FROM model.return_units AS u
INNER JOIN lake.core.mirakl__return_lines AS l
    ON l.shop = u.shop AND l.return_id = u.return_id AND l.order_line_id = u.order_line_id
LEFT JOIN ledger.writes AS w ON w.shop = u.shop AND w.kind = 'report_compliance' AND w.return_id = u.return_id
WHERE
    u.shop = $shop AND u.inspected_at < $reflected_before AND u.return_state = 'RECEIVED'
    AND (l.compliance IS NULL OR l.compliance = 'null')
UNION ALL
SELECT
    'written', kind || ' ' || natural_key, order_id, return_id, 'not shown', confirmed_at,
    date_diff('hour', confirmed_at, $now), state, last_error
FROM ledger.writes
WHERE shop = $shop AND state = 'CONFIRMED' AND confirmed_at < $reflected_before
ORDER BY since, fact, reference;
