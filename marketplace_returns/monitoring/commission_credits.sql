-- One row per refund whose commission the marketplace gave back otherwise than the contract says (R5, R58). Key: refund_id.
-- expected_minor: the line's commission times the refunded share of price and shipping, rounded half-even (I12), under rule full;
-- 0 under none; under partial anything between the two is as expected. The rule is commission_rates.csv credit_on_refund of the
-- line's category, full where no row names it. credited_minor: REFUND_COMMISSION_FEE lines of the log. ROUNDING is within the tolerance commission.
-- Refunds the log does not show yet are left out: they are still on their way. Source: OR11 lines and refunds, TL02.
WITH rules AS (
    SELECT category, credit_on_refund
    FROM mapping.commission_rates
    WHERE shop = $shop AND coalesce(valid_from, DATE '0001-01-01') <= $today
    QUALIFY row_number() OVER (PARTITION BY category ORDER BY valid_from DESC NULLS LAST) = 1
),
booked AS (
    SELECT
        refund_id,
        min(created_at) AS booked_at,
        CAST(coalesce(sum(amount_minor) FILTER (transaction_type = 'REFUND_COMMISSION_FEE'), 0) AS BIGINT) AS credited_minor
    FROM lake.core.mirakl__transactions
    WHERE shop = $shop AND refund_id IS NOT NULL AND payment_state <> 'NOT_APPLICABLE' AND created_at >= $weeks_from
    GROUP BY refund_id
    HAVING bool_or(transaction_type = 'REFUND_ORDER_AMOUNT')
),
compared AS (
    SELECT
        r.refund_id,
        r.order_id,
        r.order_line_id,
        l.category_code,
        coalesce(c.credit_on_refund, 'full') AS rule,
        r.currency,
        l.commission_fee_minor AS commission_minor,
        model.cumulative_share(
            l.commission_fee_minor, r.amount_minor + r.shipping_amount_minor, l.price_minor + l.shipping_price_minor
        ) AS whole_minor,
        b.credited_minor,
        b.booked_at
    FROM booked AS b
    INNER JOIN lake.core.mirakl__refunds AS r ON r.shop = $shop AND r.refund_id = b.refund_id
    INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = r.order_line_id
    LEFT JOIN rules AS c ON c.category = l.category_code
),
expected AS (
    SELECT
        *,
        CASE rule
            WHEN 'full' THEN whole_minor
            WHEN 'none' THEN 0
            ELSE greatest(0, least(credited_minor, whole_minor))
        END AS expected_minor
    FROM compared
)
SELECT
    refund_id,
    order_id,
    order_line_id,
    category_code,
    rule,
    currency,
    commission_minor,
    expected_minor,
    credited_minor,
    credited_minor - expected_minor AS difference_minor,
    CASE
        WHEN abs(credited_minor - expected_minor) <= watch.tolerance($shop, 'commission', currency) THEN 'ROUNDING'
        WHEN credited_minor = 0 THEN 'COMMISSION_CREDIT_MISSING'
        ELSE 'COMMISSION_RATE'
    END AS variance_code,
    booked_at
FROM expected
WHERE credited_minor <> expected_minor
ORDER BY abs(credited_minor - expected_minor) DESC, refund_id;
