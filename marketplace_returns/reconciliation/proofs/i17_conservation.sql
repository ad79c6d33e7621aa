-- I17: rows in are rows out: each order line debited in the month is one row of order_vs_ledger, each refund made in it is one row of
-- refund_three_way, each of them matched or coded; each that is coded is one row of aged_unmatched; and no row is there twice.
-- A row is one of these counts, its difference in rows. Source: core tables and lake.recon.
WITH lines AS (
    SELECT currency, order_line_id
    FROM lake.core.mirakl__order_lines
    WHERE shop = $shop AND debited_at >= $month_start AND debited_at < $month_end
),
refunds AS (
    SELECT currency, refund_id
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop AND created_at >= $month_start AND created_at < $month_end
),
lines_out AS (
    SELECT currency, order_line_id, variance_code FROM lake.recon.order_vs_ledger WHERE shop = $shop AND month = $month
),
refunds_out AS (
    SELECT currency, refund_id, match_key, verdict FROM lake.recon.refund_three_way WHERE shop = $shop AND month = $month
),
payouts_out AS (
    SELECT currency, billing_cycle_id, status FROM lake.recon.payout_proof WHERE shop = $shop AND month = $month
),
aged AS (
    SELECT currency, kind, reference FROM lake.recon.aged_unmatched WHERE shop = $shop AND month = $month
),
-- What came in and what went out are counted each by itself: joined, a row that is there twice would count on both sides.
counts AS (
    SELECT currency, 'order lines' AS subject, count(*) AS wanted, 0 AS found FROM lines GROUP BY currency
    UNION ALL
    SELECT v.currency, 'order lines', 0, count(*)
    FROM lines_out AS v
    SEMI JOIN lines AS l ON l.order_line_id = v.order_line_id AND l.currency = v.currency
    GROUP BY v.currency
    UNION ALL
    SELECT currency, 'refunds', count(*), 0 FROM refunds GROUP BY currency
    UNION ALL
    SELECT w.currency, 'refunds', 0, count(*)
    FROM (FROM refunds_out WHERE match_key LIKE 'refund:%') AS w
    SEMI JOIN refunds AS r ON r.refund_id = w.refund_id AND r.currency = w.currency
    GROUP BY w.currency
    UNION ALL
    -- Equal keys have equal hashes, which are counted quicker than texts.
    SELECT currency, 'rows of order_vs_ledger', count(DISTINCT hash(order_line_id)), count(*) FROM lines_out GROUP BY currency
    UNION ALL
    SELECT currency, 'rows of refund_three_way', count(DISTINCT hash(match_key)), count(*) FROM refunds_out GROUP BY currency
    UNION ALL
    SELECT currency, 'rows of payout_proof', count(DISTINCT billing_cycle_id), count(*) FROM payouts_out GROUP BY currency
    UNION ALL
    SELECT currency, 'rows of aged_unmatched', count(DISTINCT (kind, reference)), count(*) FROM aged GROUP BY currency
    UNION ALL
    SELECT currency, 'unmatched', count(*), 0 FROM lines_out WHERE variance_code <> '' GROUP BY currency
    UNION ALL
    SELECT currency, 'unmatched', count(*), 0 FROM refunds_out WHERE verdict <> 'MATCHED' GROUP BY currency
    UNION ALL
    SELECT currency, 'unmatched', count(*), 0 FROM payouts_out WHERE status <> 'PROVEN' GROUP BY currency
    UNION ALL
    SELECT currency, 'unmatched', 0, count(*) FROM aged GROUP BY currency
),
compared AS (
    SELECT currency, subject, CAST(sum(wanted) AS BIGINT) AS wanted, CAST(sum(found) AS BIGINT) AS found FROM counts GROUP BY currency, subject
)
SELECT currency, subject, found || ' of ' || wanted AS detail, found - wanted AS difference_minor, found <> wanted AS is_failing
FROM compared
