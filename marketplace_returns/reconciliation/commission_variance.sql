-- Order lines whose commission is not what the contract says, or whose refunds gave back another share of it. Key: order_line_id.
-- Sources: order_vs_ledger (charged, net, of each line once), mapping.commission_rates (by category, the newest rate that was valid when the line was
-- ordered; * is every other category), refunds paid in the month or late for a signed one, refund_three_way (what was booked less what is stated). Base: price and
-- shipping of the line. A category without a rate expects what was charged, and its credits in proportion. + is a cost.
-- difference = (charged - credited) - (expected - expected credit): + was kept by the marketplace and may be claimed (I12).
CREATE OR REPLACE TABLE commission_variance AS
WITH rates AS (
    SELECT
        category,
        valid_from,
        lead(valid_from, 1, TIMESTAMPTZ 'infinity') OVER (PARTITION BY category ORDER BY valid_from) AS valid_to,
        rate,
        credit_on_refund
    FROM (
        -- A rate is valid from the midnight of the shop's day on.
        SELECT * REPLACE (timezone($time_zone, CAST(valid_from AS TIMESTAMP)) AS valid_from)
        FROM mapping.commission_rates
        WHERE shop = $shop
    )
),
paid_back AS (
    SELECT
        r.currency,
        r.order_line_id,
        CAST(sum(r.amount_minor + r.shipping_amount_minor) AS BIGINT) AS refunded_minor,
        CAST(sum(coalesce(r.commission_minor, 0) + coalesce(w.credit_difference_minor, 0)) AS BIGINT) AS credited_minor,
        count(*) AS refunds
    FROM refunds AS r
    -- Few of many: what the log gave back less what OR11 states of it; what it gave back in another currency is FX.
    LEFT JOIN (FROM refund_three_way WHERE credit_difference_minor <> 0 AND verdict <> 'FX') AS w ON w.refund_id = r.refund_id
    WHERE
        r.paid_at >= $month_start AND r.paid_at < $month_end
        -- Of a signed month that did not know it.
        OR r.refund_id IN (SELECT substr(reference, length('refund:') + 1) FROM late_documents WHERE subject = 'refund' AND is_new)
    GROUP BY r.currency, r.order_line_id
),
-- What an earlier month left unmatched and had beside what was ordered, in one currency; what came late for a signed one is compared again.
compared_before AS (
    SELECT currency, order_line_id
    FROM lake.recon.order_vs_ledger
    WHERE
        shop = $shop AND month = $carried_from AND ledger_commission_minor <> 0 AND (order_sales_minor <> 0 OR order_shipping_minor <> 0)
        AND order_line_id IN (SELECT reference FROM brought_forward WHERE subject = 'line' AND kind <> '')
),
charged AS (
    SELECT v.currency, v.order_line_id, -v.ledger_commission_minor AS charged_minor
    FROM order_vs_ledger AS v
    ANTI JOIN compared_before AS b ON b.order_line_id = v.order_line_id AND b.currency = v.currency
    WHERE v.ledger_commission_minor <> 0
),
moved AS (
    SELECT
        coalesce(c.currency, p.currency) AS currency,
        coalesce(c.order_line_id, p.order_line_id) AS order_line_id,
        c.charged_minor,
        p.refunded_minor,
        coalesce(p.credited_minor, 0) AS credited_minor,
        coalesce(p.refunds, 0) AS refunds
    FROM charged AS c
    FULL OUTER JOIN paid_back AS p ON p.order_line_id = c.order_line_id AND p.currency = c.currency
),
candidates AS (
    SELECT
        m.*,
        l.order_id,
        l.price_minor + l.shipping_price_minor AS base_minor,
        l.commission_fee_minor,
        coalesce(q.rate, e.rate) AS rate,
        coalesce(q.credit_on_refund, e.credit_on_refund, 'full') AS credit_on_refund
    FROM lines AS l
    -- What was charged in another currency is FX, and compares with no rate.
    INNER JOIN moved AS m ON m.order_line_id = l.order_line_id AND m.currency = l.currency
    LEFT JOIN rates AS q
        ON q.category = l.category_code AND q.valid_from <= l.created_at AND q.valid_to > l.created_at
    LEFT JOIN rates AS e ON e.category = '*' AND e.valid_from <= l.created_at AND e.valid_to > l.created_at
),
expected AS (
    SELECT
        *,
        CASE WHEN charged_minor IS NULL THEN 0 WHEN rate IS NULL THEN charged_minor ELSE CAST(round_even(base_minor * rate, 0) AS BIGINT) END AS expected_minor,
        CASE
            WHEN refunded_minor IS NULL OR credit_on_refund = 'none' THEN 0
            WHEN credit_on_refund = 'partial' THEN credited_minor
            ELSE model.cumulative_share(
                CASE WHEN rate IS NULL THEN commission_fee_minor ELSE CAST(round_even(base_minor * rate, 0) AS BIGINT) END,
                refunded_minor, base_minor
            )
        END AS expected_credit_minor
    FROM candidates
),
judged AS (
    SELECT
        *,
        coalesce(charged_minor, 0) - credited_minor - expected_minor + expected_credit_minor AS difference_minor,
        coalesce(charged_minor, 0) - expected_minor AS over_charged_minor,
        expected_credit_minor - credited_minor AS under_credited_minor,
        stage.tolerance($shop, 'commission', currency) AS tolerance
    FROM expected
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    order_id,
    order_line_id,
    CAST(expected_minor AS BIGINT) AS expected_commission_minor,
    CAST(coalesce(charged_minor, 0) AS BIGINT) AS charged_commission_minor,
    CAST(expected_credit_minor AS BIGINT) AS expected_credit_minor,
    CAST(credited_minor AS BIGINT) AS credited_minor,
    CAST(difference_minor AS BIGINT) AS difference_minor,
    CASE
        -- Each line and each refund is rounded by itself.
        WHEN abs(over_charged_minor) <= tolerance AND abs(under_credited_minor) <= refunds * tolerance THEN 'ROUNDING'
        WHEN abs(over_charged_minor) > tolerance THEN 'COMMISSION_RATE'
        ELSE 'COMMISSION_CREDIT_MISSING'
    END AS variance_code
FROM judged
WHERE over_charged_minor <> 0 OR under_credited_minor <> 0;
