-- Arithmetic shared by views: integers only, half-even, as in money.py (I11).
-- cumulative_share(total, part, whole): total * part / whole, rounded half-even, for non-negative integers.
CREATE OR REPLACE MACRO model.cumulative_share(total, part, whole) AS (
    CASE
        WHEN whole <= 0 OR part <= 0 THEN 0
        ELSE (total * part) // whole
            + CASE
                WHEN 2 * ((total * part) % whole) > whole THEN 1
                WHEN 2 * ((total * part) % whole) = whole AND ((total * part) // whole) % 2 = 1 THEN 1
                ELSE 0
            END
    END
);
-- unit_share(total, ordinal, quantity): what the ordinal-th of quantity units carries; the shares add up to total.
CREATE OR REPLACE MACRO model.unit_share(total, ordinal, quantity) AS (
    model.cumulative_share(total, least(ordinal, quantity), quantity)
    - model.cumulative_share(total, least(ordinal, quantity + 1) - 1, quantity)
);
