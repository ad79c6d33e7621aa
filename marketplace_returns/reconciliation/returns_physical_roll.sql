-- Returned goods that nobody was paid back for yet, from the month's opening to its closing, in units. Key: stage.
-- Sources: units (what the warehouse inspected), refunded_units, the closing of the month before where that is signed. Stages: opening,
-- corrections, received_<disposition>, refunded and refused with minus, closing; opening and closing are there where they are 0 too. value
-- is the price of the units. Invariant I8: opening + corrections + received - refunded - refused = closing; a unit paid back before it came
-- enters and leaves in the month in which it came.
-- A signed month stays: what is known by now of its end and was not then is a correction of this month.
CREATE OR REPLACE TABLE returns_physical_roll AS
WITH moved AS (
    SELECT
        u.currency,
        u.inspected_at,
        coalesce(u.disposition, 'undecided') AS disposition,
        u.value_minor,
        r.refunded_at,
        -- Refused goods are not paid back; that was decided when the return last changed.
        least(r.refunded_at, CASE WHEN u.return_state = 'REFUSED' THEN u.return_updated_at END) AS decided_at
    FROM units AS u
    LEFT JOIN refunded_units AS r ON r.return_unit_id = u.return_unit_id
    WHERE u.inspected_at < $month_end AND u.currency IS NOT NULL
),
alive AS (
    SELECT *, CASE WHEN decided_at IS NOT NULL THEN greatest(decided_at, inspected_at) END AS gone_at FROM moved
),
opening AS (
    SELECT currency, count(*) AS quantity, sum(value_minor) AS value_minor
    FROM alive
    WHERE inspected_at < $month_start AND coalesce(gone_at >= $month_start, true)
    GROUP BY currency
),
signed AS (
    SELECT currency, quantity, value_minor
    FROM lake.recon.returns_physical_roll
    WHERE shop = $shop AND month = $previous_month AND stage = 'closing' AND CAST($locked_at AS TIMESTAMPTZ) IS NOT NULL
),
staged AS (
    SELECT currency, 0 AS place, 'opening' AS stage, quantity, value_minor FROM opening WHERE CAST($locked_at AS TIMESTAMPTZ) IS NULL
    UNION ALL
    SELECT currency, 0, 'opening', quantity, value_minor FROM signed
    UNION ALL
    SELECT currency, 1, 'corrections', sum(quantity), sum(value_minor)
    FROM (
        SELECT currency, quantity, value_minor FROM opening WHERE CAST($locked_at AS TIMESTAMPTZ) IS NOT NULL
        UNION ALL
        SELECT currency, -quantity, -value_minor FROM signed
    )
    GROUP BY currency
    HAVING sum(quantity) <> 0 OR sum(value_minor) <> 0
    UNION ALL
    SELECT currency, 1, 'received_' || disposition, count(*), sum(value_minor)
    FROM alive
    WHERE inspected_at >= $month_start
    GROUP BY currency, disposition
    UNION ALL
    SELECT currency, 2, CASE WHEN refunded_at = decided_at THEN 'refunded' ELSE 'refused' END AS stage, -count(*), -sum(value_minor)
    FROM alive
    WHERE gone_at >= $month_start AND gone_at < $month_end
    GROUP BY currency, stage
    UNION ALL
    SELECT currency, 3, 'closing', count(*), sum(value_minor)
    FROM alive
    WHERE coalesce(gone_at >= $month_end, true)
    GROUP BY currency
),
-- A currency in which anything opened, moved or closed has both ends.
ends AS (
    SELECT currency, unnest([0, 3]) AS place, unnest(['opening', 'closing']) AS stage, 0 AS quantity, 0 AS value_minor
    FROM (SELECT DISTINCT currency FROM staged)
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    row_number() OVER (PARTITION BY currency ORDER BY place, stage) - 1 AS row_no,
    stage,
    CAST(sum(quantity) AS BIGINT) AS quantity,
    CAST(sum(value_minor) AS BIGINT) AS value_minor
FROM (SELECT * FROM staged UNION ALL SELECT * FROM ends)
GROUP BY currency, place, stage;
