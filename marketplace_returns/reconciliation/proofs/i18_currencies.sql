-- I18: no sum crosses currencies: every line of a payout cycle is in the cycle's currency, every refund in its line's.
-- A row is a cycle or a refund of the month; its difference is how many entries are in another currency, for their sum would be one across
-- currencies. Source: TL02, SBC11, OR11.
SELECT
    c.currency,
    c.billing_cycle_id AS subject,
    'log lines in another currency' AS detail,
    CAST(coalesce(sum(t.lines) FILTER (t.currency <> c.currency), 0) AS BIGINT) AS difference_minor,
    count(*) FILTER (t.currency <> c.currency) > 0 AS is_failing
FROM lake.core.mirakl__billing_cycles AS c
LEFT JOIN (
    SELECT billing_cycle_id, currency, count(*) AS lines
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND billing_cycle_id IS NOT NULL AND payment_state <> 'NOT_APPLICABLE'
    GROUP BY billing_cycle_id, currency
) AS t ON t.billing_cycle_id = c.billing_cycle_id
WHERE c.shop = $shop AND c.created_at >= $month_start AND c.created_at < $month_end
GROUP BY c.currency, c.billing_cycle_id
UNION ALL
SELECT r.currency, r.refund_id, 'line in ' || l.currency, CAST(r.currency <> l.currency AS BIGINT), r.currency <> l.currency
FROM lake.core.mirakl__refunds AS r
INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = r.order_line_id
WHERE r.shop = $shop AND r.created_at >= $month_start AND r.created_at < $month_end
