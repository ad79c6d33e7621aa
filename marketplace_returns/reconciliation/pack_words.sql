-- Words shared by what a pack shows.
-- is_in_time(kind): whether an item of aged_unmatched is right and only not over yet, so that nobody has to mend it.
CREATE OR REPLACE TEMP MACRO is_in_time(kind) AS (kind LIKE 'TIMING%' OR kind = 'PAYOUT_OPEN');
