-- What differs at month end by time alone: nobody has to mend it, and it says which month takes it over. Key: (cause, reference).
-- Sources: refund_three_way (TIMING_*), log_sums and payout_proof (cycles that cross month end), lines (revenue cut-off), late_vat.
-- Causes: TIMING_REFUND_PENDING (requested or owed, not paid yet), TIMING_CUTOFF (paid, booked in a later month), CARRIED_IN
-- (earlier months' lines of a cycle that was closed in this one, or that came late into one closed before), CARRIED_OUT (lines of the month end that no cycle of the month
-- holds), DEBITED_NOT_SHIPPED (the customer was debited and the parcel left in a later month), LATE_VAT (only one of log and OR11 came late
-- for a signed month with the tax of a line or refund: what the log posts less what vat_summary states of it; where both do not agree by
-- now, order_vs_ledger or refund_three_way of the month has it with its code).
-- to_month is empty while unknown.
CREATE OR REPLACE TABLE timing_differences AS
WITH booked_later AS (
    SELECT t.refund_id, min(t.created_at) AS booked_at
    FROM lake.core.mirakl__transactions AS t
    SEMI JOIN (SELECT refund_id FROM refund_three_way WHERE verdict = 'TIMING_CUTOFF') AS r ON r.refund_id = t.refund_id
    WHERE t.shop = $shop AND t.created_at >= $month_end AND t.payment_state <> 'NOT_APPLICABLE'
    GROUP BY t.refund_id
),
in_time AS (
    SELECT
        r.currency,
        r.verdict AS cause,
        r.match_key AS reference,
        r.order_id,
        r.refund_id,
        coalesce(r.marketplace_amount_minor, r.intended_amount_minor, u.value_minor, 0) AS amount_minor,
        coalesce(r.requested_at, u.inspected_at) AS since,
        coalesce(b.booked_at, CASE WHEN r.paid_at >= $month_end THEN r.paid_at END) AS until
    FROM refund_three_way AS r
    LEFT JOIN booked_later AS b ON b.refund_id = r.refund_id
    LEFT JOIN units AS u ON u.return_unit_id = CASE WHEN r.refund_id IS NULL THEN r.return_unit_id END
    WHERE r.verdict IN ('TIMING_REFUND_PENDING', 'TIMING_CUTOFF')
),
carried AS (
    SELECT
        s.currency,
        CASE WHEN c.posted_at < $month_end THEN 'CARRIED_IN' ELSE 'CARRIED_OUT' END AS cause,
        coalesce(s.billing_cycle_id, 'open') AS reference,
        NULL AS order_id,
        NULL AS refund_id,
        CAST(sum(s.amount_minor) AS BIGINT) AS amount_minor,
        CASE WHEN c.posted_at < $month_end THEN $month_start - INTERVAL 1 SECOND ELSE $month_start END AS since,
        CASE WHEN c.posted_at < $month_end THEN $month_start ELSE c.posted_at END AS until
    FROM log_sums AS s
    -- Whatever the cycle's own currency: a line in another one is no matter of time (FX), and the journals post it with its cycle.
    LEFT JOIN cycles AS c ON c.billing_cycle_id = s.billing_cycle_id
    WHERE
        NOT s.is_payment
        AND CASE
            WHEN s.is_moved THEN true
            WHEN c.posted_at < $month_start THEN false
            WHEN c.posted_at < $month_end THEN s.period = 'before'
            ELSE s.period <> 'after'
        END
    GROUP BY s.currency, s.billing_cycle_id, c.posted_at
),
not_shipped AS (
    SELECT
        currency,
        'DEBITED_NOT_SHIPPED' AS cause,
        order_line_id AS reference,
        order_id,
        NULL AS refund_id,
        total_price_minor AS amount_minor,
        debited_at AS since,
        shipped_at AS until
    FROM lines
    WHERE
        debited_at >= $month_start AND debited_at < $month_end
        AND (shipped_at >= $month_end OR shipped_at IS NULL AND is_to_ship)
),
late_taxes AS (
    SELECT currency, document_id, CAST(sum(booked) - sum(stated) AS BIGINT) AS amount_minor, min(since) AS since
    FROM (
        SELECT currency, document_id, 0 AS booked, tax_minor AS stated, NULL AS since
        FROM late_vat
        WHERE is_on_top
        UNION ALL
        SELECT currency, subject_id, amount_minor, 0, created_at
        FROM late_lines
        WHERE
            transaction_type IN (
                'ORDER_AMOUNT_TAX', 'ORDER_SHIPPING_AMOUNT_TAX', 'REFUND_ORDER_AMOUNT_TAX', 'REFUND_ORDER_SHIPPING_AMOUNT_TAX'
            )
    )
    GROUP BY currency, document_id
    HAVING sum(booked) <> sum(stated)
),
late_of AS (
    SELECT t.*, l.order_id, NULL AS refund_id, coalesce(t.since, l.debited_at) AS dated_at
    FROM late_taxes AS t
    -- Few, mostly none: looked for in the lines, which are not hashed for them.
    INNER JOIN (FROM lines WHERE order_line_id IN (SELECT document_id FROM late_taxes)) AS l ON l.order_line_id = t.document_id
    UNION ALL
    SELECT t.*, r.order_id, r.refund_id, coalesce(t.since, r.paid_at)
    FROM late_taxes AS t
    INNER JOIN (FROM refunds WHERE refund_id IN (SELECT document_id FROM late_taxes)) AS r ON r.refund_id = t.document_id
),
late AS (
    SELECT
        d.currency,
        'LATE_VAT' AS cause,
        d.document_id AS reference,
        d.order_id,
        d.refund_id,
        d.amount_minor,
        d.dated_at AS since,
        $month_start AS until
    FROM late_of AS d
),
found AS (
    SELECT * FROM in_time
    UNION ALL
    SELECT * FROM carried
    UNION ALL
    SELECT * FROM not_shipped
    UNION ALL
    SELECT * FROM late
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    cause,
    reference,
    order_id,
    refund_id,
    amount_minor,
    strftime(timezone($time_zone, since), '%Y-%m') AS from_month,
    strftime(timezone($time_zone, until), '%Y-%m') AS to_month
FROM found
WHERE amount_minor <> 0;
