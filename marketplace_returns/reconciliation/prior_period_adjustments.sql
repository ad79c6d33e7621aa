-- What arrived for months that are signed, and is posted in this one. Key: (kind, reference). Source: late_lines (TL02).
-- amount is what the marketplace owes more (+) or less. Invariant: a signed month never changes, so its late items are all here.
CREATE OR REPLACE TABLE prior_period_adjustments AS
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    strftime(timezone($time_zone, created_at), '%Y-%m') AS original_month,
    $month AS posted_month,
    CASE WHEN is_new THEN 'late ' ELSE 'changed ' END || lower(transaction_type) AS kind,
    transaction_id AS reference,
    amount_minor
FROM late_lines;
