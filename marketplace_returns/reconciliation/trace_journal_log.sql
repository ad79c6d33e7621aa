-- What each line of a journal adds up, by component and type of the log's lines. Key: (account, description, transaction_type).
-- Source: TL02, SBC11 and prior_period_adjustments of version $version of the lake, by the type mapping: what journal_lines does with
-- log_sums, of one reference. A line that came late for a signed month moves from before to within by the adjusted amount; is_moved marks what it takes
-- from before. Only what was created since $log_from can matter. debit_minor is the sum with the sign of the journal, amount_minor as on the log;
-- largest are the $largest lines that move most.
WITH held AS NOT MATERIALIZED (
    SELECT *
    FROM lake.core.mirakl__transactions AT (VERSION => $version)
    WHERE
        shop = $shop AND currency = $currency AND created_at >= $log_from AND created_at < $month_end
        AND CASE
            WHEN $reference = 'open' THEN
                coalesce(billing_cycle_id NOT IN (
                    SELECT billing_cycle_id
                    FROM lake.core.mirakl__billing_cycles AT (VERSION => $version)
                    WHERE shop = $shop AND created_at < $month_end
                ), true)
            ELSE billing_cycle_id = $reference
        END
),
late AS (
    SELECT h.* REPLACE (a.amount_minor AS amount_minor)
    FROM (SELECT * FROM held WHERE created_at < $month_start) AS h
    INNER JOIN (
        SELECT reference, amount_minor
        FROM lake.recon.prior_period_adjustments AT (VERSION => $version)
        WHERE shop = $shop AND month = $month AND currency = $currency
    ) AS a ON a.reference = h.transaction_id
),
counted AS (
    SELECT *, created_at >= $month_start AS is_within, false AS is_moved
    FROM held
    WHERE payment_state <> 'NOT_APPLICABLE'
    UNION ALL
    SELECT *, true, false
    FROM late
    UNION ALL
    SELECT * REPLACE (-amount_minor AS amount_minor), false, true
    FROM late
),
typed AS (
    SELECT
        c.*,
        c.transaction_type = 'PAYMENT' AS is_payment,
        coalesce(m.component, 'UNMAPPED') AS component,
        coalesce(m.ledger_account, 'suspense') AS type_account
    FROM counted AS c
    LEFT JOIN mapping.transaction_types AS m ON m.type = c.transaction_type
),
posted AS (
    SELECT
        t.*,
        p.sign,
        CASE p.place WHEN 'movement' THEN t.type_account ELSE 'marketplace_control' END AS account,
        CASE
            WHEN p.place = 'movement' THEN t.component
            WHEN p.place = 'carried' THEN 'carried forward from earlier months'
            WHEN t.is_payment THEN 'payout received'
            WHEN $reference = 'open' THEN 'not in a payout cycle at month end'
            ELSE 'payout due'
        END AS description
    FROM typed AS t
    CROSS JOIN (VALUES ('movement', -1), ('carried', -1), ('control', 1)) AS p (place, sign)
    WHERE
        CASE p.place
            WHEN 'movement' THEN t.is_within
            WHEN 'carried' THEN NOT t.is_within AND $is_carried AND NOT t.is_payment
            ELSE t.is_within OR $is_carried AND NOT t.is_payment
        END
)
SELECT
    account,
    description,
    component,
    transaction_type,
    currency,
    CAST(sum(CASE WHEN is_moved THEN -1 ELSE 1 END) AS BIGINT) AS lines,
    CAST(sum(amount_minor) AS BIGINT) AS amount_minor,
    CAST(sum(sign * amount_minor) AS BIGINT) AS debit_minor,
    max({
        'size': abs(amount_minor),
        'transaction_id': transaction_id,
        'shop': shop,
        'transaction_type': transaction_type,
        'component': component,
        'account': type_account,
        'payment_state': payment_state,
        'currency': currency,
        'amount_minor': amount_minor,
        'order_id': order_id,
        'order_line_id': order_line_id,
        'refund_id': refund_id,
        'tax_code': tax_code,
        'billing_cycle_id': billing_cycle_id,
        'accounting_document_id': accounting_document_id,
        'accounting_document_number': accounting_document_number,
        'created_at': created_at,
        'updated_at': updated_at,
        'payload_hash': payload_hash,
        'fetched_at': fetched_at
    }, $largest) FILTER (NOT is_moved) AS largest
FROM posted
GROUP BY account, description, component, transaction_type, currency
ORDER BY account, description, component, transaction_type;
