-- I8: every unit received in the month has a disposition, and received-not-refunded rolls forward:
-- opening + received - refunded = closing. A row is a received unit, or the roll-forward of a currency
-- (counted in units: its difference is units, not money). Source: model.return_units, confirmed_refunds.
WITH refunded AS (
    SELECT return_unit_id, min(confirmed_at) AS refunded_at
    FROM ledger.confirmed_refunds
    GROUP BY return_unit_id
),
units AS (
    SELECT
        u.currency,
        u.return_unit_id,
        u.disposition,
        u.unit_value_minor,
        u.inspected_at,
        CASE WHEN r.refunded_at IS NOT NULL THEN greatest(r.refunded_at, u.inspected_at) END AS left_at
    FROM model.return_units AS u
    LEFT JOIN refunded AS r ON r.return_unit_id = u.return_unit_id
    WHERE u.shop = $shop AND u.inspected_at < $month_end
),
rolled AS (
    SELECT
        currency,
        count(*) FILTER (inspected_at < $month_start AND coalesce(left_at >= $month_start, true)) AS opening,
        count(*) FILTER (inspected_at >= $month_start) AS received,
        count(*) FILTER (left_at >= $month_start AND left_at < $month_end) AS refunded,
        count(*) FILTER (coalesce(left_at >= $month_end, true)) AS closing
    FROM units
    GROUP BY currency
)
SELECT
    currency,
    return_unit_id AS subject,
    coalesce(disposition, 'no disposition') AS detail,
    CASE WHEN disposition IS NULL THEN unit_value_minor ELSE 0 END AS difference_minor,
    disposition IS NULL AS is_failing
FROM units
WHERE inspected_at >= $month_start
UNION ALL
SELECT
    currency,
    'opening + received - refunded = closing',
    'units',
    opening + received - refunded - closing,
    opening + received - refunded <> closing
FROM rolled
