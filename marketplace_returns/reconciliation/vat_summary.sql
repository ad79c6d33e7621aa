-- VAT of the month, by the date on which money moved. Key: (direction, tax_code, rate).
-- output_* and prior_output_*: of the month's documents and of what came late for signed months (vat_parts). input: what the marketplace
-- charged, by its booking (TL02), per kind of charge; what came late of it is in it, as on the log. operator_remitted: tax that the
-- marketplace pays to the tax office itself, never part of the seller's return (I13). logged_tax is what the log books of the tax beside
-- the amounts.
CREATE OR REPLACE TABLE vat_summary AS
-- What the marketplace charges has its VAT in log lines of its own, on the account input_vat.
WITH charged AS (
    SELECT
        currency,
        replace(component, '_vat', '') AS charge,
        -coalesce(sum(amount_minor) FILTER (account <> 'input_vat'), 0) AS net_minor,
        -coalesce(sum(amount_minor) FILTER (account = 'input_vat'), 0) AS tax_minor
    FROM log_sums
    WHERE
        period = 'within'
        AND component IN (SELECT component FROM mapping.transaction_types WHERE ledger_account = 'input_vat' UNION SELECT replace(component, '_vat', '') FROM mapping.transaction_types WHERE ledger_account = 'input_vat')
    GROUP BY currency, charge
),
remitted AS (
    SELECT currency, -sum(amount_minor) AS tax_minor
    FROM log_sums
    WHERE period = 'within' AND component = 'operator_remitted'
    GROUP BY currency
),
found AS (
    SELECT currency, direction, tax_code, rate, sum(net_minor) AS net_minor, sum(tax_minor) AS tax_minor, sum(logged_tax_minor) AS logged_tax_minor
    FROM vat_parts
    GROUP BY currency, direction, tax_code, rate
    UNION ALL
    SELECT currency, 'input', charge, NULL, net_minor, tax_minor, NULL FROM charged
    UNION ALL
    SELECT currency, 'operator_remitted', '', NULL, 0, tax_minor, NULL FROM remitted
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    direction,
    tax_code,
    rate,
    CAST(net_minor AS BIGINT) AS net_minor,
    CAST(tax_minor AS BIGINT) AS tax_minor,
    CAST(logged_tax_minor AS BIGINT) AS logged_tax_minor
FROM found
WHERE net_minor <> 0 OR tax_minor <> 0;
