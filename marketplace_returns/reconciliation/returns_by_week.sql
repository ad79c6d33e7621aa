-- What was sold, announced as returned and paid back in the month, by week, and how long customers waited. Key: week (its Monday).
-- Sources: lines (debited), units (announced, or inspected where nobody announced them), refunded_units. Days are those of the
-- shop's time zone; a week that crosses the month's end has the month's part of it. hours_to_refund: the mean over the units that were paid back in
-- the week, from announcement to refund, in whole hours; a unit that was paid back before it was announced waited 0.
CREATE OR REPLACE TABLE returns_by_week AS
WITH happened AS (
    SELECT currency, debited_at AS happened_at, quantity AS sold, 0 AS returned, 0 AS refunded, 0 AS waited_us
    FROM lines
    WHERE debited_at >= $month_start AND debited_at < $month_end
    UNION ALL
    SELECT currency, coalesce(requested_at, inspected_at), 0, 1, 0, 0
    FROM units
    WHERE coalesce(requested_at, inspected_at) >= $month_start AND coalesce(requested_at, inspected_at) < $month_end AND currency IS NOT NULL
    UNION ALL
    SELECT
        u.currency,
        r.refunded_at,
        0,
        0,
        1,
        greatest(epoch_us(r.refunded_at) - epoch_us(coalesce(u.requested_at, u.inspected_at, r.refunded_at)), 0)
    FROM refunded_units AS r
    INNER JOIN units AS u ON u.return_unit_id = r.return_unit_id
    WHERE r.refunded_at >= $month_start AND r.refunded_at < $month_end AND u.currency IS NOT NULL
),
-- Which week an instant is in takes long to tell, so it is told of each quarter of an hour: no zone's clock is finer.
quarters AS (
    SELECT
        currency,
        epoch_us(happened_at) // 900_000_000 AS quarter,
        sum(sold) AS sold,
        sum(returned) AS returned,
        sum(refunded) AS refunded,
        sum(waited_us // 1_000_000) AS waited_s
    FROM happened
    GROUP BY currency, quarter
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    CAST(date_trunc('week', timezone($time_zone, to_timestamp(quarter * 900))) AS DATE) AS week,
    CAST(sum(sold) AS BIGINT) AS sold_quantity,
    CAST(sum(returned) AS BIGINT) AS returned_quantity,
    CAST(sum(refunded) AS BIGINT) AS refunded_quantity,
    CAST(sum(waited_s) // nullif(sum(refunded) * 3600, 0) AS BIGINT) AS hours_to_refund
FROM quarters
GROUP BY currency, week;
