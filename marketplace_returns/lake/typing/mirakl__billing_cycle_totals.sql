-- One row per total of a payout cycle; key billing_cycle_id, field; SBC11 data[].summary.
-- Invariant: every amount of the summary is there, known to us or not; deductions are negative.
SELECT
    shop,
    id AS billing_cycle_id,
    total.key AS field,
    currency_iso_code AS currency,
    total.value AS amount_minor,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT shop, o.currency_iso_code, o.id, unnest(map_entries(o.summary)) AS total, content_hash, fetched_at, run_id FROM batch
) AS totals
WHERE total.value IS NOT NULL
