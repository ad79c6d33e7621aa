-- What the seller owes customers for returns at month end, how it moved, and the way from cash to accrual. Key: line.
-- Sources: units, refunded_units, lines, platform_returns (first carrier scan), returns that were called off since the month began, settings
-- accruals, log_sums, the closing of the month before where that is signed. A unit counts with its price (and its taxes where they
-- come on top) times the share of its stage: requested, in transit, received (always 1). liability_* lines add up: opening + corrections +
-- new + utilised + released + remeasured + expected = closing = the sum of closing_* by stage (I14). expected: refunds not asked for yet: the
-- price of what was shipped within the return window and has no return, by setting. A signed month stays: what is known by now of its end and was
-- not then (another share of its stages too) is in corrections. accrual_refunds = cash_refunds + closing - opening.
CREATE OR REPLACE TABLE refund_accrual_bridge AS
WITH scanned AS (
    SELECT coalesce(external_id, own_return_id) AS return_id, min(created_at) AS created_at, min(shipped_at) AS shipped_at
    FROM platform_returns
    GROUP BY ALL
),
-- Returns that were refused or called off since the month began and of which nothing came: units that are no more (units.sql). They are few:
-- what belongs to them is looked for, so that nothing is hashed for them.
ended AS (
    SELECT return_id, created_at, updated_at AS ended_at
    FROM lake.core.mirakl__returns
    WHERE shop = $shop AND return_state IN ('REFUSED', 'CANCELED') AND updated_at >= $month_start
    UNION ALL
    SELECT p.own_return_id, p.created_at, p.updated_at
    FROM platform_returns AS p
    INNER JOIN mapping.statuses AS s ON s.source_system = p.platform AND upper(s.source_code) = upper(p.platform_status)
    WHERE s.canonical IN ('cancelled', 'rejected') AND p.updated_at >= $month_start
),
off AS (
    SELECT a.return_id, a.order_line_id, a.ordinal, a.order_line_id || '#' || a.ordinal AS return_unit_id, e.created_at, e.ended_at
    FROM lake.core.return_unit_assignments AS a
    INNER JOIN ended AS e ON e.return_id = a.return_id
    WHERE a.shop = $shop
),
called_off AS (
    SELECT o.*
    FROM off AS o
    -- Under its own name, or as its twin's on the marketplace.
    LEFT JOIN (SELECT return_unit_id, return_id FROM units WHERE order_line_id IN (SELECT order_line_id FROM off)) AS u
        ON u.return_unit_id = o.return_unit_id
    WHERE u.return_id IS NULL OR (u.return_id <> o.return_id AND o.return_id NOT LIKE '%:%')
),
owed AS (
    SELECT
        u.currency,
        u.owed_minor AS value_minor,
        coalesce(u.requested_at, s.created_at, u.inspected_at) AS requested_at,
        s.shipped_at,
        u.inspected_at,
        r.refunded_at,
        -- A return that was refused or called off is owed nothing from then on.
        least(r.refunded_at, CASE WHEN u.return_state IN ('REFUSED', 'CANCELED') THEN u.return_updated_at END) AS gone_at
    FROM units AS u
    LEFT JOIN scanned AS s ON s.return_id = u.return_id
    LEFT JOIN refunded_units AS r ON r.return_unit_id = u.return_unit_id
    WHERE u.currency IS NOT NULL AND coalesce(r.refunded_at >= $month_start, true)
    UNION ALL
    SELECT
        l.currency,
        model.unit_share(l.price_minor + l.sales_tax_minor, c.ordinal, l.quantity),
        c.created_at,
        s.shipped_at,
        NULL,
        r.refunded_at,
        least(r.refunded_at, c.ended_at)
    FROM called_off AS c
    INNER JOIN (FROM lines WHERE order_line_id IN (SELECT order_line_id FROM called_off)) AS l ON l.order_line_id = c.order_line_id
    LEFT JOIN (
        SELECT coalesce(external_id, own_return_id) AS return_id, min(shipped_at) AS shipped_at
        FROM platform_returns
        WHERE coalesce(external_id, own_return_id) IN (SELECT return_id FROM called_off)
        GROUP BY ALL
    ) AS s ON s.return_id = c.return_id
    -- An ordinal whose return was called off is free again: what was paid since is of another return.
    LEFT JOIN (
        SELECT return_unit_id, min(sent_at) AS refunded_at
        FROM ledger.confirmed_refunds
        WHERE return_unit_id IN (SELECT return_unit_id FROM called_off)
        GROUP BY return_unit_id
    ) AS r ON r.return_unit_id = c.return_unit_id AND r.refunded_at < c.ended_at
    WHERE coalesce(r.refunded_at >= $month_start, true)
),
weighed AS (
    SELECT
        o.currency,
        coalesce(o.refunded_at = o.gone_at, false) AS is_refunded,
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
        sum(l.price_minor) FILTER (l.shipped_at < $month_start AND l.shipped_at >= $expected_from_start AND NOT coalesce(u.is_asked_before, false)) AS before_minor,
        sum(l.price_minor) FILTER (l.shipped_at < $month_end AND l.shipped_at >= $expected_from_end AND NOT coalesce(u.is_asked_after, false)) AS after_minor
    FROM lines AS l
    LEFT JOIN (
        SELECT
            order_line_id,
            bool_or(requested_at < $month_start) AS is_asked_before,
            bool_or(requested_at < $month_end AND coalesce(ended_at >= $month_end, true)) AS is_asked_after
        FROM (
            SELECT u.order_line_id, coalesce(u.requested_at, p.created_at, u.inspected_at) AS requested_at, NULL AS ended_at
            FROM units AS u
            LEFT JOIN (
                SELECT own_return_id, created_at
                FROM platform_returns
                WHERE own_return_id IN (SELECT return_id FROM units WHERE requested_at IS NULL)
            ) AS p ON p.own_return_id = u.return_id
            WHERE $accrue_expected > 0
            UNION ALL
            SELECT order_line_id, created_at, ended_at FROM called_off
        )
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
recounted AS (
    SELECT currency, sum(amount_minor) AS amount_minor
    FROM (
        SELECT currency, coalesce(liability_opening, 0) AS amount_minor FROM summed
        UNION ALL
        SELECT currency, before_minor FROM expected
    )
    GROUP BY currency
),
signed AS (
    SELECT currency, amount_minor
    FROM lake.recon.refund_accrual_bridge
    WHERE shop = $shop AND month = $previous_month AND line = 'liability_closing' AND CAST($locked_at AS TIMESTAMPTZ) IS NOT NULL
),
opened AS (
    SELECT
        coalesce(r.currency, s.currency) AS currency,
        CASE WHEN CAST($locked_at AS TIMESTAMPTZ) IS NULL THEN r.amount_minor ELSE coalesce(s.amount_minor, 0) END AS opening_minor,
        CASE WHEN CAST($locked_at AS TIMESTAMPTZ) IS NULL THEN 0 ELSE coalesce(r.amount_minor, 0) - coalesce(s.amount_minor, 0) END AS corrections_minor
    FROM recounted AS r
    FULL OUTER JOIN signed AS s ON s.currency = r.currency
),
bridge AS (
    SELECT currency, 0 AS row_no, 'liability_opening' AS line, opening_minor AS amount_minor FROM opened
    UNION ALL
    SELECT currency, 1, 'liability_corrections', corrections_minor FROM opened WHERE corrections_minor <> 0
    UNION ALL
    SELECT
        currency,
        unnest([2, 3, 4, 5, 7, 8, 9, 10]),
        unnest([
            'liability_new', 'liability_utilised', 'liability_released', 'liability_remeasured',
            'liability_closing', 'closing_received', 'closing_in_transit', 'closing_requested'
        ]),
        unnest([
            liability_new, liability_utilised, liability_released, liability_remeasured,
            liability_closing, closing_received, closing_in_transit, closing_requested
        ])
    FROM summed
    UNION ALL
    SELECT currency, 6, 'liability_expected', after_minor - before_minor FROM expected
    UNION ALL
    SELECT currency, 7, 'liability_closing', after_minor FROM expected
    UNION ALL
    SELECT currency, 11, 'closing_expected', after_minor FROM expected
    UNION ALL
    SELECT currency, 12, 'cash_refunds', -sum(amount_minor) FILTER (component IN ('refund', 'refund_tax', 'refund_shipping', 'refund_shipping_tax'))
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
    13 AS row_no,
    'accrual_refunds' AS line,
    CAST(coalesce(sum(
        CASE line WHEN 'cash_refunds' THEN amount_minor WHEN 'liability_closing' THEN amount_minor WHEN 'liability_opening' THEN -amount_minor ELSE 0 END
    ), 0) AS BIGINT) AS amount_minor
FROM bridge
GROUP BY currency;
