-- One row per payout cycle dated in the month, and per earlier one that was not proven or whose statement came late (brought_forward), or that
-- was proven and differs now: a log line, a payment or an invoice came after its month. Key: billing_cycle_id. Source: cycles (statement),
-- TL02 (ledger and payment), IV01 (invoice), payout_proof of earlier months. A cycle that only the log names is a row too,
-- dated by its last line, the payment among them: dated by the lines alone, one that crosses month end would be in a month that is closed. Lines and payments count whenever they were created: a cycle is proven whole, not by month.
-- Invariant I1: statement = ledger = -PAYMENT = invoice; PROVEN only once the payment is there.
CREATE OR REPLACE TABLE payout_proof AS
WITH logged AS (
    SELECT
        billing_cycle_id,
        currency,
        CAST(coalesce(sum(amount_minor) FILTER (NOT is_payment), 0) AS BIGINT) AS ledger_amount_minor,
        CAST(-sum(amount_minor) FILTER (is_payment) AS BIGINT) AS payment_amount_minor,
        max(last_created_at) AS last_created_at
    FROM log_sums
    WHERE billing_cycle_id IS NOT NULL
    GROUP BY billing_cycle_id, currency
),
invoiced AS (
    SELECT billing_cycle_id, currency, CAST(sum(amount_transferred_minor) AS BIGINT) AS invoice_amount_minor
    FROM lake.core.mirakl__invoices
    WHERE shop = $shop AND invoice_type = 'AUTO_INVOICE' AND billing_cycle_id IS NOT NULL
    GROUP BY billing_cycle_id, currency
),
proven AS (
    SELECT
        coalesce(c.currency, l.currency) AS currency,
        coalesce(c.billing_cycle_id, l.billing_cycle_id) AS billing_cycle_id,
        coalesce(c.created_at, l.last_created_at) AS date_created,
        coalesce(c.pay_out_state, 'NOT_ON_STATEMENT') AS pay_out_state,
        c.amount_to_seller_minor AS statement_amount_minor,
        coalesce(l.ledger_amount_minor, 0) AS ledger_amount_minor,
        l.payment_amount_minor,
        i.invoice_amount_minor
    FROM cycles AS c
    FULL OUTER JOIN logged AS l ON l.billing_cycle_id = c.billing_cycle_id AND l.currency = c.currency
    LEFT JOIN invoiced AS i
        ON i.billing_cycle_id = coalesce(c.billing_cycle_id, l.billing_cycle_id) AND i.currency = coalesce(c.currency, l.currency)
),
compared AS (
    SELECT
        *,
        ledger_amount_minor - coalesce(statement_amount_minor, 0) AS ledger_difference,
        CASE
            WHEN payment_amount_minor IS NOT NULL OR pay_out_state = 'PAID'
                THEN coalesce(payment_amount_minor, 0) - coalesce(statement_amount_minor, 0)
            ELSE 0
        END AS payment_difference,
        coalesce(invoice_amount_minor - statement_amount_minor, 0) AS invoice_difference
    FROM proven
    WHERE date_created < $month_end
),
due AS (
    SELECT *
    FROM compared
    WHERE
        date_created >= $month_start
        OR billing_cycle_id IN (SELECT reference FROM brought_forward WHERE subject = 'cycle')
        OR (ledger_difference <> 0 OR payment_difference <> 0 OR invoice_difference <> 0)
        AND (currency, billing_cycle_id) IN (
            SELECT (currency, billing_cycle_id) FROM lake.recon.payout_proof WHERE shop = $shop AND month < $month AND status = 'PROVEN'
        )
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    billing_cycle_id,
    date_created,
    pay_out_state,
    statement_amount_minor,
    ledger_amount_minor,
    payment_amount_minor,
    invoice_amount_minor,
    coalesce(nullif(ledger_difference, 0), nullif(payment_difference, 0), invoice_difference) AS difference_minor,
    CASE
        WHEN ledger_difference <> 0 OR payment_difference <> 0 OR invoice_difference <> 0 THEN 'VARIANCE'
        WHEN statement_amount_minor IS NULL THEN 'VARIANCE'
        -- Of nothing, nothing is paid.
        WHEN payment_amount_minor IS NULL AND statement_amount_minor <> 0 THEN 'OPEN'
        ELSE 'PROVEN'
    END AS status
FROM due;
