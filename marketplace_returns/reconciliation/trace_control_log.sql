-- The log lines that rows of control_roll_forward add up, of components $components, opening and closing among them. Key: (currency, row_component,
-- component, transaction_type). Source: posted_lines, as control_roll_forward adds up log_sums: opening is what was before the month, closing all.
-- largest are the $largest lines that move most.
WITH placed AS (
    SELECT *, component AS row_component
    FROM posted_lines
    WHERE period = 'within' AND list_contains($components, component)
    UNION ALL
    SELECT *, 'opening'
    FROM posted_lines
    WHERE period = 'before' AND list_contains($components, 'opening')
    UNION ALL
    SELECT *, 'closing'
    FROM posted_lines
    WHERE list_contains($components, 'closing')
)
SELECT
    currency,
    row_component,
    component,
    transaction_type,
    count(*) AS lines,
    CAST(sum(amount_minor) AS BIGINT) AS amount_minor,
    max(line, $largest) AS largest
FROM placed
GROUP BY currency, row_component, component, transaction_type
ORDER BY currency, row_component, component, transaction_type;
