-- Words of the typing files. An amount stays exact text; where one is missing or is not an amount, the whole sum is
-- unreadable, so that the row is rejected instead of being short.
CREATE OR REPLACE TEMP MACRO sum_of_amounts(amounts) AS
CASE
    WHEN len(list_filter(amounts, lambda amount: TRY_CAST(amount AS DECIMAL(38, 18)) IS NULL)) > 0
        THEN concat_ws(' + ', 'not an amount', nullif(array_to_string(amounts, ' + '), ''))
    ELSE CAST(
        coalesce(list_sum(list_transform(amounts, lambda amount: TRY_CAST(amount AS DECIMAL(38, 18)))), 0) AS VARCHAR
    )
END;
