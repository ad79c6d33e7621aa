-- One row per root-cause class of failure and what failed (R21, R45): writes that did not end well and open exceptions.
-- Key: (root_cause, what). root_cause is mapping, auth, rate, time-out, validation, balance, permission or bug; 'none' must not
-- be there. example: the last error in its own words. Source: the ledger.
WITH failures AS (
    SELECT
        coalesce(nullif(root_cause, ''), 'none') AS root_cause, kind AS what, 'write' AS seen_as, planned_at AS since, last_error AS words, amount_minor, currency
    FROM ledger.writes
    WHERE shop = $shop AND (state IN ('REJECTED', 'UNKNOWN', 'CONFLICT') OR (state = 'PLANNED' AND last_error <> ''))
    UNION ALL
    SELECT coalesce(nullif(root_cause, ''), 'none'), type, 'exception', opened_at, message, amount_minor, currency
    FROM ledger.cases
    WHERE shop = $shop AND resolved_at IS NULL AND intent_id = '' AND lane LIKE 'source/%'
)
SELECT
    root_cause,
    what,
    seen_as,
    count(*) AS failures,
    min(since) AS oldest_at,
    date_diff('hour', min(since), $now) AS oldest_hours,
    $currency AS currency,
    CAST(sum(amount_minor) FILTER (currency = $currency) AS BIGINT) AS amount_minor,
    max_by(words, since) AS example
FROM failures
GROUP BY root_cause, what, seen_as
ORDER BY root_cause = 'none' DESC, failures DESC, what;
