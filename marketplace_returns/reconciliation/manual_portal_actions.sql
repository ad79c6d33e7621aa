-- What was done by hand in the marketplace's portal in the month. Key: (kind, reference).
-- Sources: refund_three_way (a refund that no intent of ours made), OR11 cancelations (we never cancel), TL02 lines that people
-- book (components manual and one_off). Amounts: as on the source; + is owed by the marketplace to the seller for log lines,
-- what the customer got for the others.
CREATE OR REPLACE TABLE manual_portal_actions AS
WITH cancelations AS MATERIALIZED (
    SELECT currency, cancelation_id, order_id, order_line_id, amount_minor, shipping_amount_minor, tax_minor, created_at
    FROM lake.core.mirakl__cancelations
    WHERE shop = $shop AND created_at >= $month_start AND created_at < $month_end
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    'refund' AS kind,
    refund_id AS reference,
    order_id,
    order_line_id,
    refund_id,
    marketplace_amount_minor AS amount_minor,
    requested_at AS seen_at
FROM refund_three_way
WHERE
    refund_id IS NOT NULL AND intended_amount_minor IS NULL AND marketplace_amount_minor IS NOT NULL
    -- Nor one that we intended in another currency.
    AND refund_id NOT IN (SELECT subject_id FROM currency_mismatches WHERE kind = 'refund' AND is_intended)
    -- One of an earlier month that only came now is told of now.
    AND (
        requested_at >= $month_start AND requested_at < $month_end
        OR match_key IN (SELECT reference FROM late_documents WHERE subject = 'refund' AND is_new)
    )
UNION ALL
SELECT
    $shop AS shop,
    c.currency,
    $month AS month,
    'cancelation' AS kind,
    c.cancelation_id AS reference,
    c.order_id,
    c.order_line_id,
    NULL AS refund_id,
    c.amount_minor + c.shipping_amount_minor
    + CASE WHEN coalesce(o.is_on_top, (SELECT is_on_top FROM order_modes WHERE order_id IS NULL)) THEN c.tax_minor ELSE 0 END AS amount_minor,
    c.created_at AS seen_at
FROM cancelations AS c
LEFT JOIN order_modes AS o ON o.order_id = c.order_id
UNION ALL
SELECT
    $shop AS shop,
    t.currency,
    $month AS month,
    lower(t.transaction_type) AS kind,
    t.transaction_id AS reference,
    t.order_id,
    t.order_line_id,
    t.refund_id,
    t.amount_minor,
    t.created_at AS seen_at
FROM lake.core.mirakl__transactions AS t
WHERE
    t.shop = $shop AND list_contains($manual_types, t.transaction_type)
    AND t.payment_state <> 'NOT_APPLICABLE' AND t.created_at >= $month_start AND t.created_at < $month_end;
