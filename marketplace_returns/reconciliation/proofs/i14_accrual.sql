-- I14: the refund liability opens as the month before closed (where that month is kept), rolls from opening to closing, and its stages add
-- up to it; what is owed at the month's start and end, and what was asked for in it, is weighed again from the core tables.
-- A row is a currency and one of these equations.
-- Source: lake.recon.refund_accrual_bridge, counted_units (units, receipts, OR11 refunds, confirmed_refunds), OR11 lines and taxes.
WITH rolled AS (
    SELECT
        currency,
        coalesce(sum(CASE WHEN line = 'liability_closing' THEN -amount_minor WHEN line LIKE 'liability_%' THEN amount_minor END), 0) AS movement,
        coalesce(sum(CASE WHEN line LIKE 'closing_%' THEN amount_minor WHEN line = 'liability_closing' THEN -amount_minor END), 0) AS stages,
        coalesce(sum(amount_minor) FILTER (line = 'liability_opening'), 0) AS opening,
        coalesce(sum(amount_minor) FILTER (line IN ('liability_opening', 'liability_corrections')), 0) AS corrected,
        coalesce(sum(amount_minor) FILTER (line = 'liability_new'), 0) AS new,
        coalesce(sum(amount_minor) FILTER (line = 'closing_received'), 0) AS received,
        coalesce(sum(amount_minor) FILTER (line = 'closing_in_transit'), 0) AS in_transit,
        coalesce(sum(amount_minor) FILTER (line = 'closing_requested'), 0) AS requested,
        coalesce(sum(amount_minor) FILTER (line = 'closing_expected'), 0) AS expected
    FROM lake.recon.refund_accrual_bridge
    WHERE shop = $shop AND month = $month
    GROUP BY currency
),
both_ends AS (
    SELECT *, unnest(['start', 'end']) AS instant, unnest([$month_start, $month_end]) AS as_of
    FROM counted_units($shop, $inspector)
),
units AS MATERIALIZED (
    SELECT
        * EXCLUDE (is_paid),
        requested_at < as_of AND NOT is_paid AND coalesce(ended_at >= as_of, true) AS is_owed,
        instant = 'start' AND requested_at >= $month_start AND requested_at < $month_end AND NOT is_paid AND NOT (is_void AND ended_at < $month_start) AS is_new,
        requested_at < as_of AND NOT (is_void AND ended_at < as_of) AS is_asked
    FROM (SELECT *, coalesce(paid_at < as_of, false) AS is_paid FROM both_ends)
    WHERE is_owed OR is_new OR ($accrue_expected > 0 AND is_asked)
),
-- Taxes on top of a line that does not have them added up.
untold AS (
    SELECT t.order_line_id, sum(t.amount_minor) AS tax_minor
    FROM lake.core.mirakl__order_line_taxes AS t
    WHERE
        t.shop = $shop AND t.tax_kind = 'product'
        AND t.order_line_id IN (SELECT order_line_id FROM lake.core.mirakl__order_lines WHERE shop = $shop AND product_tax_minor IS NULL)
        AND t.order_line_id IN (SELECT order_line_id FROM units WHERE is_owed OR is_new)
    GROUP BY t.order_line_id
),
valued AS (
    SELECT
        u.*,
        l.currency,
        model.unit_share(
            l.price_minor
            + CASE WHEN o.order_tax_mode = 'TAX_EXCLUDED' THEN CAST(coalesce(l.product_tax_minor, t.tax_minor, 0) AS BIGINT) ELSE 0 END, u.ordinal, l.quantity
        ) AS value_minor
    FROM units AS u
    INNER JOIN lake.core.mirakl__order_lines AS l ON l.shop = $shop AND l.order_line_id = u.order_line_id
    LEFT JOIN lake.core.mirakl__orders AS o ON o.shop = $shop AND o.order_id = l.order_id
    LEFT JOIN untold AS t ON t.order_line_id = l.order_line_id
    WHERE u.is_owed OR u.is_new
),
weighed AS (
    SELECT
        *,
        CASE WHEN inspected_at < as_of THEN 'received' WHEN shipped_at < as_of THEN 'in_transit' ELSE 'requested' END AS stage,
        CASE
            WHEN inspected_at < as_of THEN value_minor
            WHEN shipped_at < as_of THEN round_even(value_minor * $accrue_in_transit, 0)
            ELSE round_even(value_minor * $accrue_requested, 0)
        END AS owed_minor
    FROM valued
),
unasked AS (
    SELECT
        i.instant,
        l.currency,
        round_even(sum(l.price_minor) * $accrue_expected, 0) AS owed_minor
    FROM lake.core.mirakl__order_lines AS l
    INNER JOIN (
        VALUES ('start', $expected_from_start, $month_start), ('end', $expected_from_end, $month_end)
    ) AS i (instant, shipped_from, shipped_to) ON l.shipped_at >= i.shipped_from AND l.shipped_at < i.shipped_to
    ANTI JOIN (SELECT instant, order_line_id FROM units WHERE is_asked) AS u ON u.order_line_id = l.order_line_id AND u.instant = i.instant
    WHERE l.shop = $shop AND $accrue_expected > 0
    GROUP BY i.instant, l.currency
),
there AS (
    SELECT
        currency,
        coalesce(sum(owed_minor) FILTER (is_owed AND instant = 'start'), 0) AS opening,
        coalesce(sum(round_even(value_minor * $accrue_requested, 0)) FILTER (is_new), 0) AS new,
        coalesce(sum(owed_minor) FILTER (is_owed AND instant = 'end' AND stage = 'received'), 0) AS received,
        coalesce(sum(owed_minor) FILTER (is_owed AND instant = 'end' AND stage = 'in_transit'), 0) AS in_transit,
        coalesce(sum(owed_minor) FILTER (is_owed AND instant = 'end' AND stage = 'requested'), 0) AS requested,
        coalesce(sum(owed_minor) FILTER (instant = 'expected'), 0) AS expected
    FROM (
        SELECT currency, instant, is_owed, is_new, stage, value_minor, owed_minor FROM weighed
        UNION ALL
        SELECT currency, CASE instant WHEN 'start' THEN 'start' ELSE 'expected' END, true, false, '', 0, owed_minor FROM unasked
    )
    GROUP BY currency
),
closed_before AS (
    SELECT currency, amount_minor
    FROM lake.recon.refund_accrual_bridge
    WHERE
        shop = $shop AND month = $previous_month AND line = 'liability_closing'
        AND EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $month)
),
compared AS (
    SELECT
        coalesce(r.currency, t.currency) AS currency,
        unnest([
            'opening + movements = closing', 'stages = closing', 'opening = what is owed at the month''s start', 'new = asked for in the month',
            'closing_received = what is owed of it', 'closing_in_transit = what is owed of it', 'closing_requested = what is owed of it',
            'closing_expected = what is owed of it'
        ]) AS subject,
        unnest([
            coalesce(r.movement, 0),
            coalesce(r.stages, 0),
            coalesce(r.corrected, 0) - coalesce(t.opening, 0),
            coalesce(r.new, 0) - coalesce(t.new, 0),
            coalesce(r.received, 0) - coalesce(t.received, 0),
            coalesce(r.in_transit, 0) - coalesce(t.in_transit, 0),
            coalesce(r.requested, 0) - coalesce(t.requested, 0),
            coalesce(r.expected, 0) - coalesce(t.expected, 0)
        ]) AS difference_minor
    FROM rolled AS r
    FULL OUTER JOIN there AS t ON t.currency = r.currency
    UNION ALL
    SELECT
        coalesce(r.currency, p.currency),
        'opening = closing of ' || $previous_month,
        coalesce(r.opening, 0) - coalesce(p.amount_minor, 0)
    FROM rolled AS r
    FULL OUTER JOIN closed_before AS p ON p.currency = r.currency
    WHERE EXISTS (SELECT 1 FROM lake.recon.months WHERE shop = $shop AND month = $previous_month)
)
SELECT currency, subject, '' AS detail, CAST(difference_minor AS BIGINT) AS difference_minor, difference_minor <> 0 AS is_failing
FROM compared
