-- I15: debits = credits per journal; the control account moves by closing - opening; what is posted as due for a cycle of the month or that
-- it looks at again, until now, is the cycle's payout (where the month it is dated in is kept); the VAT taken out of prices is what vat_summary has beside what the log books; and what no payout
-- cycle holds rolls from month to month, so that the part that a month posts as in no cycle nets to 0.00 with what later ones carry into cycles:
--   in no cycle at the end of the month before, as that month is kept (timing_differences, CARRIED_OUT)
--   + posted as not in a payout cycle (journal open, late lines of signed months among them) - carried forward from earlier months (journals
--   of the cycles that closed in the month, or whose statement came late) = in no cycle at this month's end, where the month before is kept.
-- Payments are in none of these four: they take from what is due. What is carried is what timing_differences states (CARRIED_IN).
-- A row is a journal, a currency, or a cycle. Source: lake.recon.journal_lines, control_roll_forward, payout_proof, vat_summary,
-- timing_differences, months.
WITH journals AS (
    SELECT currency, journal_id, CAST(sum(debit_minor) - sum(credit_minor) AS BIGINT) AS difference_minor
    FROM lake.recon.journal_lines
    WHERE shop = $shop AND month = $month
    GROUP BY currency, journal_id
),
control AS (
    SELECT currency, sum(debit_minor) - sum(credit_minor) AS moved
    FROM lake.recon.journal_lines
    WHERE shop = $shop AND month = $month AND account = 'marketplace_control'
    GROUP BY currency
),
rolled AS (
    SELECT currency, sum(CASE component WHEN 'closing' THEN amount_minor WHEN 'opening' THEN -amount_minor ELSE 0 END) AS moved
    FROM lake.recon.control_roll_forward
    WHERE shop = $shop AND month = $month
    GROUP BY currency
),
taken_out AS (
    SELECT currency, sum(credit_minor) - sum(debit_minor) AS tax_minor
    FROM lake.recon.journal_lines
    WHERE shop = $shop AND month = $month AND reference = 'included_vat' AND description LIKE 'output VAT %'
    GROUP BY currency
),
included AS (
    SELECT currency, sum(tax_minor - logged_tax_minor) AS tax_minor
    FROM lake.recon.vat_summary
    WHERE shop = $shop AND month = $month AND direction NOT IN ('input', 'operator_remitted')
    GROUP BY currency
),
-- Each figure of the roll by itself: a currency may have any of them and not the others.
rolls AS (
    SELECT currency, amount_minor AS at_start, 0 AS posted, 0 AS carried, 0 AS at_end, 0 AS stated
    FROM lake.recon.timing_differences
    WHERE shop = $shop AND month = $previous_month AND cause = 'CARRIED_OUT'
    UNION ALL
    SELECT
        currency,
        0,
        CASE WHEN description = 'not in a payout cycle at month end' THEN debit_minor - credit_minor ELSE 0 END,
        CASE WHEN description = 'carried forward from earlier months' THEN credit_minor - debit_minor ELSE 0 END,
        0,
        0
    FROM lake.recon.journal_lines
    WHERE
        shop = $shop AND month = $month AND account = 'marketplace_control'
        AND description IN ('not in a payout cycle at month end', 'carried forward from earlier months')
    UNION ALL
    SELECT
        currency,
        0,
        0,
        0,
        CASE WHEN cause = 'CARRIED_OUT' THEN amount_minor ELSE 0 END,
        CASE WHEN cause = 'CARRIED_IN' THEN amount_minor ELSE 0 END
    FROM lake.recon.timing_differences
    WHERE shop = $shop AND month = $month AND cause IN ('CARRIED_OUT', 'CARRIED_IN')
),
rolled_on AS (
    SELECT
        currency,
        sum(at_start) AS at_start,
        sum(posted) AS posted,
        sum(carried) AS carried,
        sum(at_end) AS at_end,
        sum(stated) AS stated
    FROM rolls
    WHERE EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $month)
    GROUP BY currency
),
-- A cycle's lines that came late are due in a later month than its others.
due AS (
    SELECT currency, reference, sum(debit_minor) - sum(credit_minor) AS amount_minor
    FROM lake.recon.journal_lines
    WHERE shop = $shop AND month <= $month AND account = 'marketplace_control' AND description = 'payout due'
    GROUP BY currency, reference
)
SELECT currency, journal_id AS subject, 'debits = credits' AS detail, difference_minor, difference_minor <> 0 AS is_failing
FROM journals
UNION ALL
SELECT
    r.currency,
    'marketplace_control',
    'moves by closing - opening',
    CAST(coalesce(c.moved, 0) - r.moved AS BIGINT),
    coalesce(c.moved, 0) <> r.moved
FROM rolled AS r
LEFT JOIN control AS c ON c.currency = r.currency
UNION ALL
SELECT
    p.currency,
    p.billing_cycle_id,
    'posted as due = ledger of the cycle',
    CAST(coalesce(d.amount_minor, 0) - p.ledger_amount_minor AS BIGINT),
    coalesce(d.amount_minor, 0) <> p.ledger_amount_minor
FROM lake.recon.payout_proof AS p
LEFT JOIN due AS d ON d.currency = p.currency AND d.reference = p.billing_cycle_id
WHERE p.shop = $shop AND p.month = $month AND p.statement_amount_minor IS NOT NULL
    AND strftime(timezone($time_zone, p.date_created), '%Y-%m') IN (SELECT month FROM lake.recon.months WHERE shop = $shop)
UNION ALL
SELECT
    coalesce(i.currency, t.currency),
    'output VAT',
    'taken out of prices as vat_summary states it',
    CAST(coalesce(t.tax_minor, 0) - coalesce(i.tax_minor, 0) AS BIGINT),
    coalesce(t.tax_minor, 0) <> coalesce(i.tax_minor, 0)
FROM included AS i
FULL OUTER JOIN taken_out AS t ON t.currency = i.currency
UNION ALL
SELECT
    currency,
    'in no payout cycle',
    'at the end of ' || $previous_month || ' + posted as such - carried forward = at the end of ' || $month,
    CAST(at_end - at_start - posted + carried AS BIGINT),
    at_end <> at_start + posted - carried
FROM rolled_on
WHERE EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $previous_month)
UNION ALL
SELECT
    currency,
    'carried into cycles',
    'posted as timing_differences states it',
    CAST(carried - stated AS BIGINT),
    carried <> stated
FROM rolled_on
