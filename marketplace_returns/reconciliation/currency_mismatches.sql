-- Order lines and refunds that their sides know in different currencies by the month's end. Key: (kind, subject_id); kind is that of a booking,
-- sale or refund. is_intended: a refund of ours is among the sides. Sources: lines, refunds, core.bookings, confirmed_refunds.
-- Of two currencies one is not the shop's, which few are in (strangers): only those are looked for on the other sides. They are a table, for
-- of a part of one statement the planner does not know that it is small, and would put all bookings into memory for it.
CREATE OR REPLACE TABLE strangers AS
SELECT subject_id
FROM lake.core.bookings
WHERE shop = $shop AND kind IN ('sale', 'refund') AND booked_from < $month_end AND currency <> $currency
UNION ALL
SELECT order_line_id FROM lines WHERE currency <> $currency
UNION ALL
SELECT refund_id FROM refunds WHERE currency <> $currency
UNION ALL
SELECT refund_id FROM ledger.confirmed_refunds WHERE currency <> $currency AND refund_id IS NOT NULL;
CREATE OR REPLACE TABLE currency_mismatches AS
WITH sides AS (
    SELECT kind, subject_id, currency, false AS is_stated, false AS is_intended
    FROM lake.core.bookings
    WHERE shop = $shop AND kind IN ('sale', 'refund') AND booked_from < $month_end AND subject_id IN (SELECT subject_id FROM strangers)
    UNION ALL
    SELECT 'sale', order_line_id, currency, true, false
    FROM lines
    WHERE order_line_id IN (SELECT subject_id FROM strangers) AND debited_at < $month_end
    UNION ALL
    SELECT 'refund', refund_id, currency, true, false
    FROM refunds
    WHERE refund_id IN (SELECT subject_id FROM strangers) AND created_at < $month_end
    UNION ALL
    SELECT 'refund', refund_id, currency, false, true
    FROM ledger.confirmed_refunds
    WHERE refund_id IN (SELECT subject_id FROM strangers) AND sent_at < $month_end
)
SELECT kind, subject_id, bool_or(is_intended) AS is_intended
FROM sides
GROUP BY kind, subject_id
HAVING count(DISTINCT currency) > 1 AND bool_or(is_stated);
