-- Words of the typing files. An amount stays exact text; where one is missing or is not an amount, the whole sum is
-- unreadable, so that the row is rejected instead of being short. A single amount is its own sum. Four decimals are the
-- most that a minor unit has; wider decimals are slow to read, and only looked at where an amount is finer.
CREATE OR REPLACE TEMP MACRO sum_of_amounts(amounts) AS
CASE
    WHEN amounts IS NULL OR len(amounts) = 0 THEN '0'
    WHEN len(amounts) = 1 THEN coalesce(nullif(amounts[1], ''), 'not an amount')
    WHEN len(list_filter(amounts, lambda amount:
        TRY_CAST(amount AS DECIMAL(18, 4)) IS NULL OR length(split_part(amount, '.', 2)) > 4 OR contains(lower(amount), 'e')
    )) = 0
        THEN CAST(list_sum(list_transform(amounts, lambda amount: TRY_CAST(amount AS DECIMAL(18, 4)))) AS VARCHAR)
    WHEN len(list_filter(amounts, lambda amount: TRY_CAST(amount AS DECIMAL(38, 18)) IS NULL)) = 0
        THEN CAST(list_sum(list_transform(amounts, lambda amount: TRY_CAST(amount AS DECIMAL(38, 18)))) AS VARCHAR)
    ELSE concat_ws(' + ', 'not an amount', nullif(array_to_string(amounts, ' + '), ''))
END;
