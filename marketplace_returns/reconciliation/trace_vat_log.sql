-- The log lines that rows of vat_summary add up which the log books: input and operator_remitted, of directions $directions and codes $codes.
-- Key: (currency, direction, tax_code, is_tax, component, transaction_type). Source: posted_lines within the month, as vat_summary adds up log_sums:
-- is_tax tells the row's tax from its net. Amounts are as on the log; largest are the $largest lines that move most.
WITH booked AS (
    SELECT *, 'input' AS direction, replace(component, '_vat', '') AS tax_code, account = 'input_vat' AS is_tax
    FROM posted_lines
    WHERE
        period = 'within'
        AND component IN (SELECT component FROM mapping.transaction_types WHERE ledger_account = 'input_vat' UNION SELECT replace(component, '_vat', '') FROM mapping.transaction_types WHERE ledger_account = 'input_vat')
    UNION ALL
    SELECT *, 'operator_remitted', '', true
    FROM posted_lines
    WHERE period = 'within' AND component = 'operator_remitted'
)
SELECT
    currency,
    direction,
    tax_code,
    is_tax,
    component,
    transaction_type,
    count(*) AS lines,
    CAST(sum(amount_minor) AS BIGINT) AS amount_minor,
    max(line, $largest) AS largest
FROM booked
WHERE list_contains($directions, direction) AND list_contains($codes, tax_code)
GROUP BY currency, direction, tax_code, is_tax, component, transaction_type
ORDER BY currency, direction, tax_code, is_tax, component, transaction_type;
