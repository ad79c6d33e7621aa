-- Balanced journals of the month: one per payout cycle that a line of the month or the month itself touches, one for the
-- lines no cycle held at month end (open), one for the VAT that lies inside prices (included_vat), of each currency. Key: (journal_id, line_no); the id names the currency where it is not the shop's.
-- Source: TL02 by the type mapping (accounts), SBC11 (when a cycle was closed), vat_parts. Every log line is posted once, in the
-- month of its created_at, its account against marketplace_control; where a cycle closes, or a line comes into one that was closed before, what
-- earlier months posted as open is carried into it, so that a cycle's control postings add up to its payout. VAT inside prices has no log line: included_vat takes
-- it out of the income it was posted with, by the date of the VAT return, so that the account of output VAT moves by what vat_summary says.
-- Invariant I15: debits = credits per journal, the control account moves by closing - opening (I3), and what is posted as open is what later
-- months carry into cycles, but for what is still in none (timing_differences).
CREATE OR REPLACE TABLE journal_lines AS
WITH closed AS (
    SELECT billing_cycle_id, posted_at >= $month_start AS is_closed_in_month
    FROM cycles
    WHERE posted_at < $month_end
),
posted AS (
    SELECT
        s.currency,
        coalesce(c.billing_cycle_id, 'open') AS reference,
        s.account,
        s.component,
        s.period,
        s.is_payment,
        coalesce(c.is_closed_in_month, false) OR s.is_moved AS is_closed_in_month,
        s.amount_minor
    FROM log_sums AS s
    LEFT JOIN closed AS c ON c.billing_cycle_id = s.billing_cycle_id
    WHERE s.period <> 'after'
),
movements AS (
    SELECT currency, reference, 1 AS place, account, component AS description, -sum(amount_minor) AS debit_minor
    FROM posted
    WHERE period = 'within'
    GROUP BY currency, reference, account, component
),
carried AS (
    SELECT
        currency,
        reference,
        2 AS place,
        'marketplace_control' AS account,
        'carried forward from earlier months' AS description,
        -sum(amount_minor) AS debit_minor
    FROM posted
    WHERE period = 'before' AND is_closed_in_month AND NOT is_payment
    GROUP BY currency, reference
),
control AS (
    SELECT
        currency,
        reference,
        3 AS place,
        'marketplace_control' AS account,
        CASE
            WHEN is_payment THEN 'payout received'
            WHEN reference = 'open' THEN 'not in a payout cycle at month end'
            ELSE 'payout due'
        END AS description,
        sum(amount_minor) AS debit_minor
    FROM posted
    WHERE period = 'within' OR is_closed_in_month AND NOT is_payment
    GROUP BY currency, reference, is_payment
),
-- The log's types that book such an amount, and the tax on it, name the accounts.
included AS (
    SELECT
        v.currency,
        CASE WHEN v.direction LIKE '%refunds' THEN 'REFUND_' ELSE '' END || CASE v.tax_kind WHEN 'product' THEN 'ORDER_AMOUNT' ELSE 'ORDER_SHIPPING_AMOUNT' END AS type,
        v.tax_code,
        sum(v.tax_minor - v.logged_tax_minor) AS tax_minor
    FROM vat_parts AS v
    WHERE v.tax_minor <> v.logged_tax_minor
    GROUP BY ALL
),
taken_out AS (
    SELECT
        i.currency,
        'included_vat' AS reference,
        s.place,
        coalesce(m.ledger_account, 'suspense') AS account,
        s.words || ' (' || i.tax_code || ')' AS description,
        sum(s.sign * i.tax_minor) AS debit_minor
    FROM included AS i
    CROSS JOIN (VALUES (1, '', 1, 'VAT inside prices'), (2, '_TAX', -1, 'output VAT')) AS s (place, suffix, sign, words)
    LEFT JOIN mapping.transaction_types AS m ON m.type = i.type || s.suffix
    GROUP BY i.currency, s.place, m.ledger_account, s.words, i.tax_code
),
entries AS (
    SELECT * FROM movements
    UNION ALL
    SELECT * FROM carried
    UNION ALL
    SELECT * FROM control
    UNION ALL
    SELECT * FROM taken_out
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    $shop || '-' || $month || '-' || reference || CASE WHEN currency = $currency THEN '' ELSE '-' || currency END AS journal_id,
    row_number() OVER (PARTITION BY currency, reference ORDER BY place, account, description) AS line_no,
    account,
    description,
    CAST(greatest(debit_minor, 0) AS BIGINT) AS debit_minor,
    CAST(greatest(-debit_minor, 0) AS BIGINT) AS credit_minor,
    reference
FROM entries
WHERE debit_minor <> 0;
