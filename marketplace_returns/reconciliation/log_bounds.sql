-- What the month's tables need to know of the log first: from when on it can hold lines of the month's order lines, of its open refunds
-- (a line's log cannot be older than the line, nor a refund's than its request) and of what is looked at again, and the types in it that
-- people book by hand. One row, bound as values, so that the planner leaves unread what cannot matter. Source: lines, refunds,
-- confirmed_refunds, brought_forward, log_sums.
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
    ), (
        -- Older ones that a write of the month names: one that was adopted, or made by the marketplace's clock before midnight.
        SELECT min(r.created_at)
        FROM refunds AS r
        SEMI JOIN (FROM ledger.confirmed_refunds WHERE sent_at >= $month_start) AS c ON c.refund_id = r.refund_id
    )) AS refunds_log_from,
    -- Null where there is nothing to look at again. A day more, for ages are whole days.
    least(
        (SELECT min(since) - INTERVAL 1 DAY FROM brought_forward),
        (SELECT min(created_at) FROM lines WHERE order_line_id IN (SELECT reference FROM brought_forward WHERE subject = 'line'))
    ) AS again_log_from,
    -- Null where there are none: then the log is not looked through.
    (SELECT list(DISTINCT transaction_type) FROM log_sums WHERE component IN ('manual', 'one_off')) AS manual_types;
