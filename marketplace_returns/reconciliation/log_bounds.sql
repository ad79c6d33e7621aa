-- From when on the log can hold lines of the month's order lines and of its open refunds: a line's log cannot be older
-- than the line, nor a refund's than its request. One row. Asked first and bound as values, so that the planner leaves
-- older bookings unread. Source: lines, refunds.
SELECT
    least($month_start, (
        SELECT min(created_at)
        FROM lines
        WHERE debited_at >= $month_start AND debited_at < $month_end
    )) AS lines_log_from,
    least($month_start, (
        SELECT min(created_at)
        FROM refunds
        WHERE created_at < $month_end AND (created_at >= $month_start OR paid_at IS NULL OR paid_at >= $month_start)
    )) AS refunds_log_from;
