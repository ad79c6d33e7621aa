-- What the reviewer metrics of a shop's month count. Key: (measure, currency, original_month). Source: the month as the pack shows it.
-- matched, in_time, unmatched: the rows of payout_proof, order_vs_ledger and refund_three_way, each in one of them. matched agrees to the
-- minor unit; in_time is right and only not over yet (is_in_time); unmatched is all else, also what is only named (ROUNDING,
-- MANUAL_PORTAL_REFUND), for its money is left. Matching is by key alone and a reason matches nothing, so no row is matched by a person.
-- value_unmatched: the amounts of aged_unmatched that are not only timing, without their signs, each penny once: what order lines and refunds
-- have otherwise on the log is in the total of their payout cycle too, and is taken off it there (covered). Which cycle has them is
-- not known of what the log lacks, so it is looked for by side (orders, refunds) and direction. A log line that names nothing is counted beside
-- the document it may be of, for nothing says so. adjusted: prior_period_adjustments, with their signs.
-- Invariant: matched are all rows less those of aged_unmatched, so nothing is 100 % while aged_unmatched has a row.
WITH items AS (
    SELECT status = 'PROVEN' AS is_matched, CASE WHEN status = 'OPEN' THEN 'PAYOUT_OPEN' ELSE 'PAYOUT' END AS kind
    FROM shown_payout_proof
    WHERE shop = $shop
    UNION ALL
    SELECT variance_code = '', variance_code
    FROM shown_order_vs_ledger
    WHERE shop = $shop
    UNION ALL
    SELECT verdict = 'MATCHED', verdict
    FROM shown_refund_three_way
    WHERE shop = $shop
),
aged AS (
    SELECT currency, kind, reference, amount_minor FROM shown_aged_unmatched WHERE shop = $shop AND NOT is_in_time(kind)
),
-- + is what the log has too much, - what it lacks.
documents AS (
    SELECT currency, side, sign(amount_minor) AS direction, sum(abs(amount_minor)) AS amount_minor
    FROM (
        SELECT a.currency, 'orders' AS side, a.amount_minor
        FROM aged AS a
        SEMI JOIN (FROM shown_order_vs_ledger WHERE shop = $shop) AS v ON v.order_line_id = a.reference AND v.currency = a.currency
        UNION ALL
        SELECT
            a.currency,
            'refunds',
            a.amount_minor * coalesce(
                nullif(sign(coalesce(r.marketplace_amount_minor, 0) - coalesce(r.settled_amount_minor, 0)), 0), sign(r.credit_difference_minor), 0
            )
        FROM aged AS a
        INNER JOIN (FROM shown_refund_three_way WHERE shop = $shop) AS r ON r.match_key = a.reference AND r.currency = a.currency
        -- One that is not booked yet, for it is not paid, is in no cycle either.
        WHERE r.settled_amount_minor IS NOT NULL OR r.verdict = 'MISSING_EXTRACT'
    )
    GROUP BY currency, side, direction
),
sides AS (
    SELECT
        c.currency,
        c.billing_cycle_id,
        CASE WHEN starts_with(c.component, 'refund') THEN 'refunds' ELSE 'orders' END AS side,
        sum(c.difference_minor) AS difference_minor
    FROM shown_payout_components AS c
    -- What differs from the payment or the invoice alone is of no line.
    SEMI JOIN (FROM shown_payout_proof WHERE shop = $shop AND ledger_amount_minor <> statement_amount_minor) AS p
        ON p.billing_cycle_id = c.billing_cycle_id AND p.currency = c.currency
    WHERE
        c.shop = $shop
        AND c.component IN (
            'orders', 'orders_tax', 'commissions', 'commissions_vat', 'refunds', 'refunds_tax', 'refund_commissions', 'refund_commissions_vat'
        )
    GROUP BY c.currency, c.billing_cycle_id, side
),
covered AS (
    SELECT s.currency, s.billing_cycle_id, sum(d.direction * greatest(least(abs(s.difference_minor), d.amount_minor - s.before_minor), 0)) AS amount_minor
    FROM (
        SELECT
            *,
            sum(abs(difference_minor)) OVER (PARTITION BY currency, side, sign(difference_minor) ORDER BY billing_cycle_id) - abs(difference_minor) AS before_minor
        FROM sides
    ) AS s
    INNER JOIN documents AS d ON d.currency = s.currency AND d.side = s.side AND d.direction = sign(s.difference_minor)
    WHERE s.difference_minor <> 0
    GROUP BY s.currency, s.billing_cycle_id
)
SELECT
    CASE WHEN is_matched THEN 'matched' WHEN is_in_time(kind) THEN 'in_time' ELSE 'unmatched' END AS measure,
    '' AS currency,
    '' AS original_month,
    count(*) AS rows,
    0 AS amount_minor
FROM items
GROUP BY measure
UNION ALL
SELECT 'value_unmatched', a.currency, '', count(*), CAST(sum(abs(a.amount_minor - coalesce(c.amount_minor, 0))) AS BIGINT)
FROM aged AS a
LEFT JOIN covered AS c ON a.kind = 'PAYOUT' AND c.billing_cycle_id = a.reference AND c.currency = a.currency
GROUP BY a.currency
UNION ALL
SELECT 'adjusted', currency, original_month, count(*), CAST(sum(amount_minor) AS BIGINT)
FROM shown_prior_period_adjustments
WHERE shop = $shop
GROUP BY currency, original_month
ORDER BY ALL;
