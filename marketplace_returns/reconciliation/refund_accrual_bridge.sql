-- What the seller owes customers for returns at month end, how it moved, and the way from cash to accrual. Key: line.
-- Sources: units, refunded_units, lines, platform_returns (first carrier scan), settings accruals, log_sums. A unit counts with its price
-- (and its taxes where they come on top) times the share of its stage: requested, in transit, received (always 1). liability_*
-- lines add up: opening + new + utilised + released + remeasured + expected = closing = the sum of closing_* by stage (I14). expected: refunds not
-- asked for yet: the price of what was shipped within the return window and has no return, by setting. accrual_refunds = cash_refunds + closing - opening.
CREATE OR REPLACE TABLE refund_accrual_bridge AS
WITH scanned AS (
    SELECT coalesce(external_id, own_return_id) AS return_id, min(created_at) AS created_at, min(shipped_at) AS shipped_at
    FROM platform_returns
    GROUP BY ALL
),
owed AS (
    SELECT
        u.currency,
        u.owed_minor AS value_minor,
        coalesce(u.requested_at, s.created_at, u.inspected_at) AS requested_at,
        s.shipped_at,
        u.inspected_at,
        -- A return that was refused or called off is owed nothing from then on.
        coalesce(r.refunded_at, CASE WHEN u.return_state IN ('REFUSED', 'CANCELED') THEN u.return_updated_at END) AS gone_at,
        r.refunded_at IS NOT NULL AS is_refunded
    FROM units AS u
    LEFT JOIN scanned AS s ON s.return_id = u.return_id
    LEFT JOIN refunded_units AS r ON r.return_unit_id = u.return_unit_id
    WHERE u.currency IS NOT NULL AND coalesce(r.refunded_at >= $month_start, true)
),
weighed AS (
    SELECT
        o.currency,
        o.is_refunded,
        o.gone_at,
        o.requested_at >= $month_start AND o.requested_at < $month_end AS is_new,
        o.requested_at < $month_start AND coalesce(o.gone_at >= $month_start, true) AS is_open_before,
        o.requested_at < $month_end AND coalesce(o.gone_at >= $month_end, true) AS is_open_after,
        CASE
            WHEN o.inspected_at < $month_start THEN o.value_minor
            WHEN o.shipped_at < $month_start THEN CAST(round_even(o.value_minor * $accrue_in_transit, 0) AS BIGINT)
            ELSE CAST(round_even(o.value_minor * $accrue_requested, 0) AS BIGINT)
        END AS before_minor,
        CAST(round_even(o.value_minor * $accrue_requested, 0) AS BIGINT) AS new_minor,
        CASE
            WHEN o.inspected_at < $month_end THEN o.value_minor
            WHEN o.shipped_at < $month_end THEN CAST(round_even(o.value_minor * $accrue_in_transit, 0) AS BIGINT)
            ELSE CAST(round_even(o.value_minor * $accrue_requested, 0) AS BIGINT)
        END AS after_minor,
        CASE WHEN o.inspected_at < $month_end THEN 'received' WHEN o.shipped_at < $month_end THEN 'in_transit' ELSE 'requested' END AS stage
    FROM owed AS o
),
counted AS (
    SELECT
        *,
        CASE WHEN is_open_before THEN before_minor WHEN is_new THEN new_minor ELSE 0 END AS entered_minor,
        (is_open_before OR is_new) AND NOT is_open_after AS is_gone
    FROM weighed
),
-- What was shipped within the return window before an instant and had no return by then.
unasked AS (
    SELECT
        l.currency,
        sum(l.price_minor) FILTER (l.shipped_at < $month_start AND l.shipped_at >= $expected_from_start AND coalesce(u.requested_at >= $month_start, true)) AS before_minor,
        sum(l.price_minor) FILTER (l.shipped_at < $month_end AND l.shipped_at >= $expected_from_end AND coalesce(u.requested_at >= $month_end, true)) AS after_minor
    FROM lines AS l
    LEFT JOIN (
        SELECT order_line_id, min(requested_at) AS requested_at
        FROM units
        GROUP BY order_line_id
    ) AS u ON u.order_line_id = l.order_line_id
    WHERE $accrue_expected > 0 AND l.shipped_at >= $expected_from_start AND l.shipped_at < $month_end
    GROUP BY l.currency
),
expected AS (
    SELECT
        currency,
        CAST(round_even(coalesce(before_minor, 0) * $accrue_expected, 0) AS BIGINT) AS before_minor,
        CAST(round_even(coalesce(after_minor, 0) * $accrue_expected, 0) AS BIGINT) AS after_minor
    FROM unasked
),
summed AS (
    SELECT
        currency,
        sum(before_minor) FILTER (is_open_before) AS liability_opening,
        sum(new_minor) FILTER (is_new AND NOT is_open_before) AS liability_new,
        -sum(entered_minor) FILTER (is_gone AND is_refunded) AS liability_utilised,
        -sum(entered_minor) FILTER (is_gone AND NOT is_refunded) AS liability_released,
        sum(after_minor - entered_minor) FILTER (is_open_after) AS liability_remeasured,
        sum(after_minor) FILTER (is_open_after) AS liability_closing,
        sum(after_minor) FILTER (is_open_after AND stage = 'received') AS closing_received,
        sum(after_minor) FILTER (is_open_after AND stage = 'in_transit') AS closing_in_transit,
        sum(after_minor) FILTER (is_open_after AND stage = 'requested') AS closing_requested
    FROM counted
    GROUP BY currency
),
bridge AS (
    SELECT
        currency,
        unnest([0, 1, 2, 3, 4, 6, 7, 8, 9]) AS row_no,
        unnest([
            'liability_opening', 'liability_new', 'liability_utilised', 'liability_released', 'liability_remeasured',
            'liability_closing', 'closing_received', 'closing_in_transit', 'closing_requested'
        ]) AS line,
        unnest([
            liability_opening, liability_new, liability_utilised, liability_released, liability_remeasured,
            liability_closing, closing_received, closing_in_transit, closing_requested
        ]) AS amount_minor
    FROM summed
    UNION ALL
    SELECT currency, 0, 'liability_opening', before_minor FROM expected
    UNION ALL
    SELECT currency, 5, 'liability_expected', after_minor - before_minor FROM expected
    UNION ALL
    SELECT currency, 6, 'liability_closing', after_minor FROM expected
    UNION ALL
    SELECT currency, 10, 'closing_expected', after_minor FROM expected
    UNION ALL
    SELECT currency, 11, 'cash_refunds', -sum(amount_minor) FILTER (component IN ('refund', 'refund_tax', 'refund_shipping', 'refund_shipping_tax'))
    FROM log_sums
    WHERE period = 'within'
    GROUP BY currency
)
SELECT $shop AS shop, currency, $month AS month, row_no, line, CAST(coalesce(sum(amount_minor), 0) AS BIGINT) AS amount_minor
FROM bridge
GROUP BY currency, row_no, line
UNION ALL
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    12 AS row_no,
    'accrual_refunds' AS line,
    CAST(coalesce(sum(
        CASE line WHEN 'cash_refunds' THEN amount_minor WHEN 'liability_closing' THEN amount_minor WHEN 'liability_opening' THEN -amount_minor ELSE 0 END
    ), 0) AS BIGINT) AS amount_minor
FROM bridge
GROUP BY currency;
