-- The marketplace control account of the month, one currency at a time. Key: component.
-- Source: TL02 by the type mapping; a line belongs to the month of its created_at in the shop's time zone.
-- Invariant I3: opening + movements = closing, row by row; opening is every line before the month.
CREATE OR REPLACE TABLE control_roll_forward AS
WITH movements AS (
    SELECT currency, component, CAST(sum(amount_minor) AS BIGINT) AS amount_minor, CAST(sum(lines) AS BIGINT) AS lines
    FROM log_sums
    WHERE period = 'within'
    GROUP BY currency, component
),
opening AS (
    SELECT
        currency,
        CAST(coalesce(sum(amount_minor) FILTER (period = 'before'), 0) AS BIGINT) AS amount_minor,
        CAST(coalesce(sum(lines) FILTER (period = 'before'), 0) AS BIGINT) AS lines
    FROM log_sums
    WHERE period <> 'after'
    GROUP BY currency
),
closing AS (
    SELECT currency, CAST(sum(amount_minor) AS BIGINT) AS amount_minor, CAST(sum(lines) AS BIGINT) AS lines
    FROM log_sums
    WHERE period <> 'after'
    GROUP BY currency
),
parts AS (
    SELECT currency, 0 AS place, 'opening' AS component, amount_minor, lines FROM opening
    UNION ALL
    SELECT currency, 1 AS place, component, amount_minor, lines FROM movements
    UNION ALL
    SELECT currency, 2 AS place, 'closing' AS component, amount_minor, lines FROM closing
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    row_number() OVER (PARTITION BY currency ORDER BY place, component) - 1 AS row_no,
    component,
    amount_minor,
    lines
FROM parts;
