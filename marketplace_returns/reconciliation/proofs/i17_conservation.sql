-- I17: rows in are rows out: each order line debited in the month is one row of order_vs_ledger, each refund made in it is one row of
-- refund_three_way, each of them matched or coded; and each that is coded is one row of aged_unmatched.
-- A row is one of these counts, its difference in rows. Source: core tables and lake.recon.
WITH counts AS (
    SELECT l.currency, 'order lines' AS subject, count(*) AS wanted, count(v.order_line_id) AS found
    FROM lake.core.mirakl__order_lines AS l
    LEFT JOIN (SELECT order_line_id FROM lake.recon.order_vs_ledger WHERE shop = $shop AND month = $month) AS v
        ON v.order_line_id = l.order_line_id
    WHERE l.shop = $shop AND l.debited_at >= $month_start AND l.debited_at < $month_end
    GROUP BY l.currency
    UNION ALL
    SELECT r.currency, 'refunds', count(*), count(w.refund_id)
    FROM lake.core.mirakl__refunds AS r
    LEFT JOIN (
        SELECT refund_id FROM lake.recon.refund_three_way WHERE shop = $shop AND month = $month AND match_key LIKE 'refund:%'
    ) AS w ON w.refund_id = r.refund_id
    WHERE r.shop = $shop AND r.created_at >= $month_start AND r.created_at < $month_end
    GROUP BY r.currency
    UNION ALL
    SELECT currency, 'unmatched', sum(wanted), sum(found)
    FROM (
        SELECT currency, count(*) AS wanted, 0 AS found
        FROM lake.recon.order_vs_ledger
        WHERE shop = $shop AND month = $month AND variance_code <> ''
        GROUP BY currency
        UNION ALL
        SELECT currency, count(*), 0
        FROM lake.recon.refund_three_way
        WHERE shop = $shop AND month = $month AND verdict <> 'MATCHED'
        GROUP BY currency
        UNION ALL
        SELECT currency, count(*), 0
        FROM lake.recon.payout_proof
        WHERE shop = $shop AND month = $month AND status <> 'PROVEN'
        GROUP BY currency
        UNION ALL
        SELECT currency, 0, count(*) FROM lake.recon.aged_unmatched WHERE shop = $shop AND month = $month GROUP BY currency
    )
    GROUP BY currency
)
SELECT
    currency,
    subject,
    found || ' of ' || wanted AS detail,
    CAST(found - wanted AS BIGINT) AS difference_minor,
    found <> wanted AS is_failing
FROM counts
