-- One row: how fresh stock is on both sides (R12, R84). Key: shop. is_stale where the warehouse's figures were not read for
-- half an hour, or a stock push waits that long. restock: pushes of items that came back sellable since their last push.
-- Source: the cursors, push_stock writes of the ledger, model.return_units.
WITH readings AS (
    SELECT max(read_at) AS stock_read_at FROM ledger.reads WHERE shop = $shop AND stream = 'peoplevox/stock'
),
pushes AS (
    SELECT
        max(confirmed_at) AS last_pushed_at,
        count(*) FILTER (state IN ('PLANNED', 'SENDING', 'UNKNOWN')) AS waiting,
        min(planned_at) FILTER (state IN ('PLANNED', 'SENDING', 'UNKNOWN')) AS oldest_waiting_at,
        count(*) FILTER (state IN ('REJECTED', 'CONFLICT')) AS refused
    FROM ledger.writes
    WHERE shop = $shop AND kind = 'push_stock'
),
restocks AS (
    SELECT count(DISTINCT u.return_unit_id) AS waiting, min(u.inspected_at) AS oldest_at
    FROM model.return_units AS u
    INNER JOIN ledger.writes AS w
        ON w.shop = u.shop AND w.kind = 'push_stock' AND w.state IN ('PLANNED', 'SENDING', 'UNKNOWN')
        AND json_extract_string(w.evidence, '$.item_code') = u.received_item_code
    WHERE u.shop = $shop AND u.disposition = 'sellable' AND u.inspected_at <= w.planned_at
        AND u.inspected_at > $now - INTERVAL 7 DAY
)
SELECT
    r.stock_read_at,
    date_diff('minute', r.stock_read_at, $now) AS read_age_minutes,
    p.last_pushed_at,
    date_diff('minute', p.last_pushed_at, $now) AS push_age_minutes,
    p.waiting AS pushes_waiting,
    p.oldest_waiting_at,
    date_diff('minute', p.oldest_waiting_at, $now) AS oldest_waiting_minutes,
    p.refused AS pushes_refused,
    s.waiting AS restocks_waiting,
    s.oldest_at AS oldest_restock_at,
    date_diff('minute', s.oldest_at, $now) AS oldest_restock_minutes,
    coalesce(r.stock_read_at < $stale_before, true) AS is_reading_stale,
    coalesce(p.oldest_waiting_at < $stale_before, false) AS is_push_stale
FROM readings AS r, pushes AS p, restocks AS s
WHERE $warehouse <> '' AND $authority = 'wms_absolute';
