-- One row per week and type of ledger line: how many lines, their sum, and which component the close counts them as. Key: (week, type,
-- currency); unmapped ones first, then the newest week. component 'unmapped': no row of transaction_types.csv has it, so the close shows it
-- under UNMAPPED and proof I2 fails. example: a line of it. Source: TL02, mapping.transaction_types.
SELECT
    CAST(date_trunc('week', timezone($time_zone, t.created_at)) AS DATE) AS week,
    t.transaction_type AS type,
    coalesce(m.component, 'unmapped') AS component,
    count(*) AS lines,
    t.currency,
    CAST(sum(t.amount_minor) AS BIGINT) AS amount_minor,
    count(DISTINCT t.order_id) AS orders,
    min(t.transaction_id) AS example,
    min(t.order_id) AS order_id
FROM lake.core.mirakl__transactions AS t
LEFT JOIN mapping.transaction_types AS m ON m.type = t.transaction_type
WHERE t.shop = $shop AND t.created_at >= $weeks_from
GROUP BY week, t.transaction_type, m.component, t.currency
ORDER BY m.component IS NULL DESC, week DESC, type, currency;
