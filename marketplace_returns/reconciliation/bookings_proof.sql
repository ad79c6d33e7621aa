-- Where the bookings are not what the log adds up to: as of the month's start, its end and now, by currency and sales or
-- refunds. A row is a difference; there is none. Source: log_sums (the whole log), core.bookings. What a close reads of the
-- bookings is the state as of the month's end, so a close that passes here has read what the log says, to the penny.
WITH logged AS (
    SELECT
        currency,
        starts_with(transaction_type, 'REFUND') AS is_refund,
        replace(transaction_type, 'REFUND_', '') AS part,
        period,
        amount_minor,
        lines
    FROM log_sums
    WHERE is_booked(transaction_type, '')
    -- The bookings hold a late line where it was created; log_sums where it is posted.
    UNION ALL
    SELECT
        t.currency,
        starts_with(t.transaction_type, 'REFUND'),
        replace(t.transaction_type, 'REFUND_', ''),
        p.period,
        p.sign * t.amount_minor,
        p.sign
    FROM late_lines AS t
    CROSS JOIN (VALUES ('before', 1), ('within', -1)) AS p (period, sign)
    WHERE is_booked(t.transaction_type, '')
),
-- Few rows: which of the three instants a booking holds at, with the sums of all that hold at the same ones.
held AS (
    SELECT
        currency,
        ends_with(kind, 'refund') AS is_refund,
        booked_from < $month_start AND (booked_until IS NULL OR booked_until >= $month_start) AS at_start,
        booked_from < $month_end AND (booked_until IS NULL OR booked_until >= $month_end) AS at_end,
        booked_until IS NULL AS at_last,
        sum(product_minor) AS product,
        sum(shipping_minor) AS shipping,
        sum(product_tax_minor) AS product_tax,
        sum(shipping_tax_minor) AS shipping_tax,
        sum(commission_minor) AS commission,
        sum(commission_vat_minor) AS commission_vat,
        sum(lines) AS lines
    FROM lake.core.bookings
    WHERE shop = $shop
    GROUP BY ALL
),
instants (as_of, instant) AS (
    VALUES (1, 'the start of the month'), (2, 'the end of the month'), (3, 'now')
),
of_log AS (
    SELECT
        i.as_of,
        i.instant,
        l.currency,
        l.is_refund,
        coalesce(sum(l.amount_minor) FILTER (l.part = 'ORDER_AMOUNT'), 0) AS product,
        coalesce(sum(l.amount_minor) FILTER (l.part = 'ORDER_SHIPPING_AMOUNT'), 0) AS shipping,
        coalesce(sum(l.amount_minor) FILTER (l.part = 'ORDER_AMOUNT_TAX'), 0) AS product_tax,
        coalesce(sum(l.amount_minor) FILTER (l.part = 'ORDER_SHIPPING_AMOUNT_TAX'), 0) AS shipping_tax,
        coalesce(sum(l.amount_minor) FILTER (l.part = 'COMMISSION_FEE'), 0) AS commission,
        coalesce(sum(l.amount_minor) FILTER (l.part = 'COMMISSION_VAT'), 0) AS commission_vat,
        sum(l.lines) AS lines
    FROM logged AS l
    INNER JOIN instants AS i ON CASE l.period WHEN 'before' THEN 1 WHEN 'within' THEN 2 ELSE 3 END <= i.as_of
    GROUP BY ALL
),
of_bookings AS (
    SELECT
        i.as_of,
        i.instant,
        h.currency,
        h.is_refund,
        sum(h.product) AS product,
        sum(h.shipping) AS shipping,
        sum(h.product_tax) AS product_tax,
        sum(h.shipping_tax) AS shipping_tax,
        sum(h.commission) AS commission,
        sum(h.commission_vat) AS commission_vat,
        sum(h.lines) AS lines
    FROM held AS h
    INNER JOIN instants AS i ON CASE i.as_of WHEN 1 THEN h.at_start WHEN 2 THEN h.at_end ELSE h.at_last END
    GROUP BY ALL
)
SELECT *
FROM (
    (FROM of_log EXCEPT FROM of_bookings)
    UNION ALL
    (FROM of_bookings EXCEPT FROM of_log)
)
ORDER BY ALL;
