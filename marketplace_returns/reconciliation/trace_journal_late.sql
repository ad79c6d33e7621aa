-- One row: whether a journal's cycle is closed in the month, so that what earlier months posted is carried into it, and since when lines are created
-- that came late or were moved; null where none did. Source: cycles, late_lines, moved_lines.
SELECT
    coalesce((SELECT posted_at >= $month_start FROM cycles WHERE billing_cycle_id = $reference), false) AS is_closed_in_month,
    (SELECT min(created_at) FROM (SELECT created_at FROM late_lines UNION ALL SELECT created_at FROM moved_lines)) AS late_from;
