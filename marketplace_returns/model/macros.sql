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
-- refund_clock_from(deadline_from, ...): when the marketplace's refund deadline began by policy (requested, carrier_scan or
-- received; R53). A parcel that arrived was scanned too, whoever missed the scan. Null until it happened.
CREATE OR REPLACE MACRO model.refund_clock_from(deadline_from, requested_at, shipped_at, received_at, inspected_at) AS (
    CASE deadline_from
        WHEN 'requested' THEN requested_at
        WHEN 'carrier_scan' THEN coalesce(shipped_at, least(received_at, inspected_at))
        ELSE least(received_at, inspected_at)
    END
);
