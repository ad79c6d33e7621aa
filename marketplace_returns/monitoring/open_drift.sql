-- One row per open exception that says the systems do not tell the same (R38, R49, R55): status or incident drift, writes that
-- do not show, conflicts. Key: exception_id; oldest first. Source: the ledger's exceptions.
SELECT
    exception_id, type, owner, severity, entity, opened_at, date_diff('hour', opened_at, $now) AS age_hours, due_at, message
FROM ledger.cases
WHERE
    shop = $shop AND resolved_at IS NULL
    AND type IN ('STATUS_DRIFT', 'INCIDENT_DRIFT', 'DESPATCH_NOT_REFLECTED', 'REFUND_CONFLICT', 'STOCK_DRIFT', 'ASN_MISSING')
ORDER BY opened_at, exception_id;
