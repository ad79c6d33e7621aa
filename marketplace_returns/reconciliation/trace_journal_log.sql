-- What each line of a journal adds up, by component and type of the log's lines. Key: (account, description, component, transaction_type).
-- Source: posted_lines, cycles: what journal_lines does with log_sums, of one reference. Only what was created since $log_from can matter. debit_minor is the
-- sum with the sign of the journal, amount_minor as on the log; largest are the $largest lines that move most.
WITH held AS (
    SELECT
        *,
        transaction_type = 'PAYMENT' AS is_payment,
        period = 'within' AS is_within,
        period = 'before' AND (is_moved OR $is_closed_in_month) AND transaction_type <> 'PAYMENT' AS is_carried
    FROM posted_lines
    WHERE
        currency = $currency AND created_at >= $log_from
        AND CASE
            WHEN $reference = 'open' THEN
                coalesce(billing_cycle_id NOT IN (SELECT billing_cycle_id FROM cycles WHERE posted_at < $month_end), true)
            ELSE billing_cycle_id = $reference
        END
),
posted AS (
    SELECT
        h.* REPLACE (CASE p.place WHEN 'movement' THEN h.account ELSE 'marketplace_control' END AS account),
        p.sign,
        CASE
            WHEN p.place = 'movement' THEN h.component
            WHEN p.place = 'carried' THEN 'carried forward from earlier months'
            WHEN h.is_payment THEN 'payout received'
            WHEN $reference = 'open' THEN 'not in a payout cycle at month end'
            ELSE 'payout due'
        END AS description
    FROM held AS h
    CROSS JOIN (VALUES ('movement', -1), ('carried', -1), ('control', 1)) AS p (place, sign)
    WHERE
        CASE p.place
            WHEN 'movement' THEN h.is_within
            WHEN 'carried' THEN h.is_carried
            ELSE h.is_within OR h.is_carried
        END
)
SELECT
    account,
    description,
    component,
    transaction_type,
    currency,
    count(*) AS lines,
    CAST(sum(amount_minor) AS BIGINT) AS amount_minor,
    CAST(sum(sign * amount_minor) AS BIGINT) AS debit_minor,
    max(line, $largest) AS largest
FROM posted
GROUP BY account, description, component, transaction_type, currency
ORDER BY account, description, component, transaction_type;
