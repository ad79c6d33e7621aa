-- What the marketplace holds back of the seller's money, from the month's opening to its closing, one currency at a time. Key: component.
-- Source: the log's lines of component reserve (log_sums), which move money from the control account to the reserve and back: held where
-- they take from what is owed (RESERVE_FUNDING), released where they give it back (RESERVE_SETTLEMENT), with a minus.
-- Invariant I3: opening + held + released = closing, and held and released are the reserve's movement on the control account.
CREATE OR REPLACE TABLE reserve_roll_forward AS
WITH summed AS (
    SELECT
        currency,
        -coalesce(sum(amount_minor) FILTER (period = 'before'), 0) AS opening,
        -coalesce(sum(amount_minor) FILTER (period = 'within' AND amount_minor < 0), 0) AS held,
        -coalesce(sum(amount_minor) FILTER (period = 'within' AND amount_minor > 0), 0) AS released,
        -sum(amount_minor) AS closing
    FROM log_sums
    WHERE component = 'reserve' AND period <> 'after'
    GROUP BY currency
),
parts AS (
    SELECT
        currency,
        unnest([0, 1, 2, 3]) AS row_no,
        unnest(['opening', 'held', 'released', 'closing']) AS component,
        unnest([opening, held, released, closing]) AS amount_minor
    FROM summed
)
SELECT $shop AS shop, currency, $month AS month, row_no, component, CAST(amount_minor AS BIGINT) AS amount_minor
FROM parts;
