-- I15: debits = credits per journal; the control account moves by closing - opening; what is posted as due for a cycle
-- that closed in the month is its payout; the VAT taken out of prices is what vat_summary has beside what the log books. A row is a journal,
-- a currency, or a cycle. Source: lake.recon.journal_lines, control_roll_forward, payout_proof, vat_summary.
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
due AS (
    SELECT currency, reference, sum(debit_minor) - sum(credit_minor) AS amount_minor
    FROM lake.recon.journal_lines
    WHERE shop = $shop AND month = $month AND account = 'marketplace_control' AND description = 'payout due'
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
WHERE p.shop = $shop AND p.month = $month AND p.statement_amount_minor IS NOT NULL AND p.date_created >= $month_start
UNION ALL
SELECT
    coalesce(i.currency, t.currency),
    'output VAT',
    'taken out of prices as vat_summary states it',
    CAST(coalesce(t.tax_minor, 0) - coalesce(i.tax_minor, 0) AS BIGINT),
    coalesce(t.tax_minor, 0) <> coalesce(i.tax_minor, 0)
FROM included AS i
FULL OUTER JOIN taken_out AS t ON t.currency = i.currency
