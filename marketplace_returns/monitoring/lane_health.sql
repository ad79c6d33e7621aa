-- One row per kind of write: what waits and for how long, how long writes took, how they ended, what people had to touch (R20).
-- Key: kind. due: may leave now; parked: wait for their time; unclear: sent without an answer. oldest_minutes: the oldest due or
-- unclear one, from its plan (a parked one from its time on). p50_s, p95_s, p99_s: seconds from plan to confirmation of those confirmed
-- since $health_from; touchless_percent: of those, which no person made and none had an exception. refused: rejected or in
-- conflict now. state: ok; slow (oldest due over 15 minutes); stuck (over 4 hours, or unclear over an hour). Source: the ledger.
WITH touched AS (
    SELECT DISTINCT intent_id FROM ledger.cases WHERE shop = $shop AND intent_id <> ''
),
writes AS (
    SELECT
        w.kind,
        w.state,
        w.state = 'PLANNED' AND coalesce(w.not_before <= $now, true) AS is_due,
        w.state = 'PLANNED' AND w.not_before > $now AS is_parked,
        w.state IN ('SENDING', 'UNKNOWN') AS is_unclear,
        w.state IN ('REJECTED', 'CONFLICT') AS is_refused,
        coalesce(w.confirmed_at >= $health_from, false) AS is_recent,
        date_diff('minute', greatest(w.planned_at, coalesce(w.not_before, w.planned_at)), $now) AS waits_minutes,
        date_diff('second', w.planned_at, w.confirmed_at) AS took_s,
        w.confirmed_at,
        w.is_adopted OR t.intent_id IS NOT NULL AS is_touched
    FROM ledger.writes AS w
    LEFT JOIN touched AS t ON t.intent_id = w.intent_id
    WHERE w.shop = $shop
),
counted AS (
    SELECT
        kind,
        count(*) FILTER (is_due) AS due,
        count(*) FILTER (is_parked) AS parked,
        count(*) FILTER (is_unclear) AS unclear,
        count(*) FILTER (is_refused) AS refused,
        max(waits_minutes) FILTER (is_due OR is_unclear) AS oldest_minutes,
        max(waits_minutes) FILTER (is_unclear) AS oldest_unclear_minutes,
        count(*) FILTER (is_recent) AS confirmed,
        CAST(quantile_disc(took_s, 0.5) FILTER (is_recent) AS BIGINT) AS p50_s,
        CAST(quantile_disc(took_s, 0.95) FILTER (is_recent) AS BIGINT) AS p95_s,
        CAST(quantile_disc(took_s, 0.99) FILTER (is_recent) AS BIGINT) AS p99_s,
        count(*) FILTER (is_recent AND NOT is_touched) AS touchless,
        max(confirmed_at) AS last_confirmed_at
    FROM writes
    GROUP BY kind
)
SELECT
    kind,
    CASE
        WHEN oldest_minutes >= 240 OR oldest_unclear_minutes >= 60 THEN 'stuck'
        WHEN oldest_minutes >= 15 THEN 'slow'
        ELSE 'ok'
    END AS state,
    due,
    parked,
    unclear,
    refused,
    oldest_minutes,
    confirmed,
    p50_s,
    p95_s,
    p99_s,
    CAST(round(100 * touchless / nullif(confirmed, 0), 1) AS DECIMAL(5, 1)) AS touchless_percent,
    last_confirmed_at
FROM counted
ORDER BY list_position(['stuck', 'slow', 'ok'], state), kind;
