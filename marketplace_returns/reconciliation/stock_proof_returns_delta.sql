-- One row per received unit that was first seen in the month and is to be sold again (wanted), or was added to an offer (found). Key:
-- (kind, reference), which names receipt event and unit as the push does. Source: receipts, push_stock writes as they stand when the
-- month is closed. Units of earlier months are here where an addition of the month is one too many, or still waits. MATCHED: added once.
-- WAITING: on its way, planned in the month. SEEN_LATE: told and not added, for it may be counted already (lane restock). Invariant I10.
CREATE OR REPLACE TABLE stock_proof AS
WITH pushes AS (
    SELECT
        substr(natural_key, length($delta_key) + 1) AS reference,
        coalesce(sum(delta) FILTER (is_done), 0) AS added,
        coalesce(bool_or(confirmed_at >= $month_start AND confirmed_at < $month_end), false) AS is_of_month,
        min(planned_at) FILTER (is_waiting) AS waiting_since
    FROM ledger.stock_pushes
    WHERE starts_with(natural_key, $delta_key)
    GROUP BY reference
),
units AS (
    SELECT
        receipt_event_id || '#' || unit_no AS reference,
        CASE WHEN item_disposition = 'sellable' THEN 1 ELSE 0 END AS wanted,
        assigned_at >= $month_start AND assigned_at < $month_end AS is_of_month,
        assigned_at - inspected_at > to_seconds($old_after_s) AS is_old
    FROM receipts
    WHERE assigned_at IS NOT NULL
),
compared AS (
    SELECT
        coalesce(u.reference, p.reference) AS reference,
        coalesce(u.wanted, 0) AS wanted_qty,
        coalesce(p.added, 0) AS found_qty,
        coalesce(u.is_of_month, false) AS is_of_month,
        coalesce(p.is_of_month, false) AS is_added_in_month,
        coalesce(u.is_old, false) AS is_old,
        p.waiting_since
    FROM units AS u
    FULL OUTER JOIN pushes AS p ON p.reference = u.reference
)
SELECT
    $shop AS shop,
    $currency AS currency,
    $month AS month,
    'unit' AS kind,
    reference,
    CAST(wanted_qty AS BIGINT) AS wanted_qty,
    CAST(found_qty AS BIGINT) AS found_qty,
    CASE
        WHEN wanted_qty = found_qty THEN 'MATCHED'
        WHEN wanted_qty = 0 THEN 'NOT_SELLABLE'
        WHEN found_qty > wanted_qty THEN 'ADDED_TWICE'
        WHEN waiting_since >= $month_start THEN 'WAITING'
        WHEN is_old AND waiting_since IS NULL THEN 'SEEN_LATE'
        ELSE 'NOT_ADDED'
    END AS state
FROM compared
WHERE
    $is_pushing
    AND CASE
        WHEN is_of_month THEN wanted_qty > 0 OR found_qty > 0
        ELSE is_added_in_month AND found_qty <> wanted_qty OR found_qty = 0 AND waiting_since < $month_start
    END;
