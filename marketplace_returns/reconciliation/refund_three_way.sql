-- One row per refund alive in the month, per confirmed intent the marketplace does not show, per log line of a refund that names none, per
-- inspected sellable unit without a refund, and per received unit nobody announced. Key: (match_key, currency). Matched by refund id and currency, each
-- record at most once (R109): a refund whose sides are in different currencies has a row in each (FX).
-- Sources: confirmed_refunds (intended), refunds (marketplace), what TL02 REFUND_* lines have booked (settled), Reveni (platform, shown
-- only), units and receipts. Alive: requested, paid, booked or sent in the month, not yet paid, or looked at again (brought_forward).
-- credit_difference is the commission given back on the log less what OR11 states of it, without its VAT.
-- Amounts include tax: in TAX_EXCLUDED taxes come on top. Invariant I6: the three are equal or the verdict says why.
COPY (
WITH again AS (
    SELECT
        b.reference,
        c.intent_id,
        CASE WHEN starts_with(b.reference, 'refund:') THEN substr(b.reference, length('refund:') + 1) ELSE c.refund_id END AS refund_id
    FROM brought_forward AS b
    LEFT JOIN ledger.confirmed_refunds AS c ON c.intent_id = CASE WHEN starts_with(b.reference, 'intent:') THEN substr(b.reference, length('intent:') + 1) END
    WHERE b.subject = 'refund'
),
-- A refund's log lines cannot be older than its request: $refunds_log_from. What is looked at again is few.
held AS (
    SELECT *
    FROM lake.core.bookings
    WHERE shop = $shop AND kind = 'refund' AND booked_from >= $refunds_log_from
    UNION ALL
    SELECT *
    FROM lake.core.bookings
    WHERE
        shop = $shop AND kind = 'refund' AND booked_from >= $again_log_from AND booked_from < $refunds_log_from
        AND subject_id IN (SELECT refund_id FROM again)
),
settled AS (
    -- As of month end, or what is booked first after it.
    SELECT
        subject_id AS refund_id,
        currency,
        order_id,
        order_line_id,
        CASE WHEN is_in_time THEN -product_minor ELSE 0 END AS product,
        CASE WHEN is_in_time THEN -shipping_minor ELSE 0 END AS shipping,
        CASE WHEN is_in_time THEN -product_tax_minor - shipping_tax_minor ELSE 0 END AS tax,
        CASE WHEN is_in_time THEN commission_minor + commission_vat_minor ELSE 0 END AS commission,
        CASE WHEN is_in_time THEN commission_minor ELSE 0 END AS credit,
        is_in_time AND has_amounts AS is_settled,
        NOT is_in_time OR booked_until IS NOT NULL AS is_booked_later,
        CASE WHEN is_in_time THEN booked_from END AS booked_at,
        CASE WHEN is_in_time THEN billing_cycle_id END AS billing_cycle_id
    FROM (
        SELECT *, booked_from < $month_end AS is_in_time
        FROM held
        WHERE CASE WHEN booked_from < $month_end THEN booked_until IS NULL OR booked_until >= $month_end ELSE is_first END
    )
),
-- Read where they are each time: a copy of millions of them takes memory that the joins need.
claims AS NOT MATERIALIZED (
    -- By when we sent it, for the answer may come after midnight; or by the marketplace's clock, which may be behind ours.
    SELECT *
    FROM ledger.confirmed_refunds
    WHERE sent_at < $month_end
    UNION ALL
    SELECT *
    FROM ledger.confirmed_refunds
    WHERE
        sent_at >= $month_end AND sent_at < $month_end + INTERVAL 1 DAY
        AND refund_id IN (SELECT refund_id FROM refunds WHERE created_at < $month_end AND created_at >= $month_end - INTERVAL 1 DAY)
),
-- A refund belongs to the first intent that claims it (R109).
late_claims AS (
    SELECT intent_id
    FROM claims
    -- Equal ids have equal hashes, which are counted quicker than texts; who only shares a hash is alone among its ids.
    WHERE refund_id IS NOT NULL AND hash(refund_id) IN (SELECT hash(refund_id) FROM claims GROUP BY ALL HAVING count(*) > 1)
    QUALIFY row_number() OVER (PARTITION BY refund_id ORDER BY confirmed_at, intent_id) > 1
),
confirmed AS (
    SELECT
        c.*,
        l.intent_id IS NOT NULL AS is_late_claim,
        CASE WHEN l.intent_id IS NULL THEN c.refund_id END AS own_refund_id,
        u.return_id AS unit_return_id,
        u.inspected_at,
        u.disposition,
        u.is_received
    FROM claims AS c
    LEFT JOIN late_claims AS l ON l.intent_id = c.intent_id
    LEFT JOIN units AS u ON u.return_unit_id = c.return_unit_id
),
-- A unit is paid back once: a second refund of ours for it is of nothing.
unit_twice AS (
    SELECT intent_id
    FROM claims
    WHERE return_unit_id <> '' AND hash(return_unit_id) IN (SELECT hash(return_unit_id) FROM claims WHERE return_unit_id <> '' GROUP BY ALL HAVING count(*) > 1)
    QUALIFY row_number() OVER (PARTITION BY return_unit_id ORDER BY sent_at, intent_id) > 1
),
-- Refunds made, still open or paid in the month, and older ones that the month's log or a write of the month names, or that are looked at again.
alive_refunds AS (
    SELECT *
    FROM refunds
    WHERE created_at < $month_end AND (created_at >= $month_start OR paid_at IS NULL OR paid_at >= $month_start)
    UNION ALL
    SELECT r.*
    FROM refunds AS r
    SEMI JOIN (
        SELECT refund_id FROM settled WHERE booked_at >= $month_start
        UNION ALL
        SELECT refund_id FROM claims WHERE sent_at >= $month_start
        UNION ALL
        SELECT refund_id FROM again
    ) AS a ON a.refund_id = r.refund_id
    WHERE r.created_at < $month_start AND r.paid_at < $month_start
),
marketplace AS (
    SELECT
        r.refund_id,
        r.currency,
        r.order_id,
        r.order_line_id,
        r.created_at,
        r.paid_at,
        r.amount_minor AS product,
        r.shipping_amount_minor AS shipping,
        r.tax_minor AS tax,
        -- Null where OR11 does not state it.
        coalesce(r.commission_minor + coalesce(r.commission_vat_minor, 0), r.commission_vat_minor) AS commission,
        r.commission_minor AS credit,
        r.quantity
    FROM alive_refunds AS r
),
-- The platform's figure is of a whole return: it stands on the row of the return's first sellable unit.
platform AS (
    SELECT p.external_id AS return_id, f.currency, CAST(sum(f.amount_minor) AS BIGINT) AS amount_minor
    FROM reported.refunds AS f
    INNER JOIN platform_returns AS p ON p.platform_return_id = f.platform_return_id
    WHERE f.shop = $shop AND f.status <> 'FAILED' AND p.external_id IS NOT NULL
    GROUP BY p.external_id, f.currency
),
-- Most returns have one unit, which is their first: only the others are looked through.
firsts AS (
    SELECT
        return_id,
        coalesce(min(return_unit_id) FILTER (disposition = 'sellable'), min(return_unit_id)) AS return_unit_id
    FROM units
    WHERE hash(return_id) IN (SELECT hash(return_id) FROM units GROUP BY ALL HAVING count(*) > 1)
    GROUP BY return_id
),
-- Units no intent of ours has refunded may have been refunded by hand: they are given to the line's other refunds in order.
free_units AS (
    SELECT
        u.*,
        row_number() OVER (PARTITION BY u.order_line_id ORDER BY coalesce(u.inspected_at < $month_end, false) DESC, u.inspected_at, u.ordinal) AS place
    FROM units AS u
    -- NOT IN keeps the hash table on the intents' units; an anti join copies the units' rows into it.
    WHERE u.return_unit_id NOT IN (SELECT return_unit_id FROM claims WHERE return_unit_id IS NOT NULL)
),
foreign_refunds AS (
    SELECT
        r.refund_id,
        r.order_line_id,
        r.amount_minor,
        r.shipping_amount_minor,
        r.created_at,
        coalesce(sum(r.quantity) OVER (
            PARTITION BY r.order_line_id ORDER BY r.created_at, r.refund_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS units_before,
        r.quantity
    FROM refunds AS r
    ANTI JOIN claims AS i ON i.refund_id = r.refund_id
    WHERE r.created_at < $month_end
),
taken_units AS (
    SELECT f.refund_id, u.return_unit_id, u.return_id, u.inspected_at, u.disposition
    FROM foreign_refunds AS f
    INNER JOIN free_units AS u ON u.order_line_id = f.order_line_id AND u.place > f.units_before AND u.place <= f.units_before + f.quantity
),
foreign_evidence AS (
    SELECT
        refund_id,
        min(return_id) AS return_id,
        min(return_unit_id) AS return_unit_id,
        count(*) FILTER (inspected_at < $month_end) AS received_qty,
        string_agg(DISTINCT disposition, '+' ORDER BY disposition) FILTER (inspected_at < $month_end) AS disposition
    FROM taken_units
    GROUP BY refund_id
),
-- A refund by hand with no unit of its own on a line that another refund of the same amount covers.
seconds AS (
    SELECT DISTINCT r.refund_id
    FROM foreign_refunds AS r
    ANTI JOIN taken_units AS t ON t.refund_id = r.refund_id
    SEMI JOIN (FROM refunds WHERE order_line_id IN (SELECT order_line_id FROM foreign_refunds)) AS o
        ON
        o.order_line_id = r.order_line_id AND o.refund_id <> r.refund_id
        AND o.amount_minor = r.amount_minor AND o.shipping_amount_minor = r.shipping_amount_minor AND o.created_at <= r.created_at
),
matched AS (
    SELECT
        coalesce(m.currency, i.currency, s.currency) AS currency,
        coalesce('refund:' || coalesce(m.refund_id, s.refund_id), 'intent:' || i.intent_id) AS match_key,
        coalesce(m.order_id, i.order_id, s.order_id) AS order_id,
        coalesce(m.order_line_id, i.order_line_id, s.order_line_id) AS order_line_id,
        i.return_id,
        i.return_unit_id,
        i.intent_id,
        i.is_late_claim,
        i.evidence_class,
        i.has_shipping,
        i.unit_return_id,
        i.inspected_at,
        i.disposition,
        i.is_received,
        coalesce(m.refund_id, s.refund_id, i.refund_id) AS refund_id,
        i.amount_minor AS intended,
        m.product + m.shipping + m.tax AS marketplace,
        CASE WHEN s.is_settled THEN s.product + s.shipping + s.tax END AS settled,
        m.product AS m_product, m.shipping AS m_shipping, m.tax AS m_tax, m.commission AS m_commission,
        s.product AS s_product, s.shipping AS s_shipping, s.tax AS s_tax, s.commission AS s_commission,
        CASE WHEN s.is_settled THEN s.credit - m.credit END AS credit_difference_minor,
        coalesce(s.is_booked_later, false) AS is_booked_later,
        coalesce(m.created_at, i.sent_at) AS requested_at,
        m.paid_at,
        s.billing_cycle_id,
        i.sent_at,
        coalesce(m.created_at >= $month_start, false)
        OR m.refund_id IS NOT NULL AND coalesce(m.paid_at >= $month_start, true)
        OR coalesce(s.booked_at >= $month_start, false)
        OR coalesce(i.sent_at >= $month_start, false)
        OR coalesce(coalesce(m.refund_id, s.refund_id) IN (SELECT refund_id FROM again WHERE refund_id IS NOT NULL), false)
        OR coalesce(i.intent_id IN (SELECT intent_id FROM again WHERE intent_id IS NOT NULL), false) AS is_alive
    FROM marketplace AS m
    FULL OUTER JOIN settled AS s ON s.refund_id = m.refund_id AND s.currency = m.currency
    FULL OUTER JOIN confirmed AS i ON i.own_refund_id = coalesce(m.refund_id, s.refund_id) AND i.currency = coalesce(m.currency, s.currency)
),
alive AS (
    SELECT
        x.* EXCLUDE (disposition),
        c.subject_id IS NOT NULL AS is_mismatched,
        coalesce(c.is_intended, false) AS is_intended,
        coalesce(x.return_id, f.return_id) AS of_return_id,
        coalesce(x.return_unit_id, f.return_unit_id) AS of_return_unit_id,
        coalesce(x.unit_return_id, f.return_id) AS shown_return_id,
        coalesce(f.received_qty, CASE WHEN x.inspected_at < $month_end THEN 1 ELSE 0 END) AS received_qty,
        coalesce(f.disposition, CASE WHEN x.inspected_at < $month_end THEN x.disposition END) AS disposition,
        x.is_received AND x.inspected_at <= x.sent_at AS has_receipt_first,
        stage.tolerance($shop, 'refund', x.currency) AS tolerance,
        d.refund_id IS NOT NULL OR coalesce(x.intent_id IN (SELECT intent_id FROM unit_twice), false) AS is_second
    FROM matched AS x
    LEFT JOIN foreign_evidence AS f ON f.refund_id = CASE WHEN x.intent_id IS NULL THEN x.refund_id END
    LEFT JOIN seconds AS d ON d.refund_id = x.refund_id
    LEFT JOIN (FROM currency_mismatches WHERE kind = 'refund') AS c ON c.subject_id = x.refund_id
    WHERE x.is_alive
),
judged AS (
    SELECT
        *,
        greatest(
            greatest(coalesce(intended, 0), coalesce(marketplace, 0), coalesce(settled, 0))
            - least(coalesce(intended, 0), coalesce(marketplace, 0), coalesce(settled, 0)),
            CASE
                WHEN marketplace IS NULL THEN abs(coalesce(s_commission, 0))
                WHEN settled IS NOT NULL THEN abs(coalesce(s_commission - m_commission, 0))
                ELSE 0
            END
        ) AS difference_minor,
        CASE
            WHEN is_late_claim THEN 'UNKNOWN'
            -- Booked in another currency than it was made in, and taken back since.
            WHEN is_mismatched AND marketplace IS NULL AND intended IS NULL AND s_product = 0 AND s_shipping = 0 AND s_tax = 0 AND s_commission = 0 THEN 'MATCHED'
            WHEN marketplace IS NULL THEN CASE WHEN is_mismatched THEN 'FX' ELSE 'MISSING_EXTRACT' END
            WHEN is_second THEN 'DUPLICATE_REFUND'
            -- What is within the tolerance is rounding, which hides nothing: it is named where all else is as it should be. Of what is not ours, these compare nothing.
            WHEN intended - marketplace > tolerance AND m_shipping = 0 AND has_shipping THEN 'SHIPPING_NOT_REFUNDED'
            WHEN abs(intended - marketplace) > tolerance THEN 'UNKNOWN'
            -- What is lacking or too much here is in another currency, and is not added up with this.
            WHEN is_mismatched AND (settled IS DISTINCT FROM marketplace OR s_commission <> m_commission OR intended IS NULL AND is_intended) THEN 'FX'
            WHEN settled IS NULL AND paid_at < $month_end AND NOT is_booked_later THEN 'MISSING_EXTRACT'
            -- Its shipping or taxes are booked as its own, and what it gives back for the goods is not.
            WHEN s_product = 0 AND m_product > tolerance AND settled IS NOT NULL THEN 'MISSING_EXTRACT'
            WHEN abs(s_tax - m_tax) > tolerance AND settled IS NOT NULL AND (settled = marketplace OR s_product = m_product AND s_shipping = m_shipping) THEN 'TAX_CODE'
            WHEN abs(settled - marketplace) > tolerance AND s_product = m_product AND s_shipping = 0 THEN 'SHIPPING_NOT_REFUNDED'
            WHEN abs(settled - marketplace) > tolerance THEN 'UNKNOWN'
            -- Not ours: by hand for goods that came or were never announced, or for a parcel still on its way.
            WHEN intended IS NULL AND of_return_id IS NOT NULL AND received_qty = 0 THEN 'REFUND_WITHOUT_RECEIPT'
            WHEN settled IS NOT NULL AND m_commission - s_commission > tolerance THEN 'COMMISSION_CREDIT_MISSING'
            WHEN settled IS NOT NULL AND s_commission - m_commission > tolerance THEN 'COMMISSION_RATE'
            WHEN intended IS NULL THEN 'MANUAL_PORTAL_REFUND'
            WHEN settled IS NULL AND is_booked_later AND paid_at < $month_end THEN 'TIMING_CUTOFF'
            WHEN settled IS NULL THEN 'TIMING_REFUND_PENDING'
            -- Forced by the deadline: owed an answer until the parcel comes (C1).
            WHEN
                NOT (
                    coalesce(has_receipt_first, false) OR evidence_class IN ('RECEIVED', 'CARRIER_SCAN')
                    OR evidence_class = 'SLA_FORCED' AND received_qty > 0
                ) THEN 'REFUND_WITHOUT_RECEIPT'
            WHEN intended <> marketplace OR settled <> marketplace OR s_commission <> m_commission THEN 'ROUNDING'
            ELSE 'MATCHED'
        END AS verdict
    FROM alive
),
unrefunded AS (
    SELECT u.*
    FROM free_units AS u
    ANTI JOIN taken_units AS t ON t.return_unit_id = u.return_unit_id
    WHERE u.inspected_at < $month_end AND u.disposition = 'sellable'
),
-- Goods the warehouse accepted that no return announced: nobody will refund them unless somebody looks.
unannounced AS (
    SELECT e.receipt_event_id, e.unit_no, e.order_id, e.disposition, o.currency
    FROM receipts AS e
    LEFT JOIN (
        SELECT order_id, any_value(currency) AS currency
        FROM lines
        WHERE order_id IN (SELECT order_id FROM receipts WHERE return_unit_id IS NULL)
        GROUP BY order_id
    ) AS o ON o.order_id = e.order_id
    WHERE
        e.return_unit_id IS NULL AND e.inspected_at < $month_end
        AND (
            e.inspected_at >= $month_start
            OR 'receipt:' || e.receipt_event_id || '#' || e.unit_no IN (SELECT reference FROM again)
        )
        AND coalesce(e.disposition, 'sellable') = 'sellable'
)
SELECT
    $shop AS shop,
    j.currency,
    $month AS month,
    j.match_key,
    j.order_id,
    j.order_line_id,
    j.of_return_id AS return_id,
    j.of_return_unit_id AS return_unit_id,
    j.refund_id,
    j.intended AS intended_amount_minor,
    j.marketplace AS marketplace_amount_minor,
    j.settled AS settled_amount_minor,
    CASE WHEN s.return_unit_id IS NULL OR s.return_unit_id = j.of_return_unit_id THEN p.amount_minor END AS platform_amount_minor,
    j.received_qty,
    j.disposition,
    j.requested_at,
    j.paid_at,
    j.billing_cycle_id,
    j.difference_minor,
    j.verdict,
    coalesce(j.evidence_class, '') AS evidence_class,
    j.credit_difference_minor
FROM judged AS j
LEFT JOIN platform AS p ON p.return_id = j.shown_return_id AND p.currency = j.currency
LEFT JOIN firsts AS s ON s.return_id = j.shown_return_id
UNION ALL
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    'unit:' || return_unit_id AS match_key,
    order_id,
    order_line_id,
    return_id,
    return_unit_id,
    NULL AS refund_id,
    NULL AS intended_amount_minor,
    NULL AS marketplace_amount_minor,
    NULL AS settled_amount_minor,
    NULL AS platform_amount_minor,
    1 AS received_qty,
    disposition,
    NULL AS requested_at,
    NULL AS paid_at,
    NULL AS billing_cycle_id,
    0 AS difference_minor,
    CASE WHEN inspected_at < $refund_due_before THEN 'RECEIPT_WITHOUT_REFUND' ELSE 'TIMING_REFUND_PENDING' END AS verdict,
    '' AS evidence_class,
    NULL AS credit_difference_minor
FROM unrefunded
UNION ALL
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    'log:' || subject_id AS match_key,
    order_id,
    order_line_id,
    NULL AS return_id,
    NULL AS return_unit_id,
    NULL AS refund_id,
    NULL AS intended_amount_minor,
    NULL AS marketplace_amount_minor,
    CASE WHEN has_amounts THEN -product_minor - shipping_minor - product_tax_minor - shipping_tax_minor END AS settled_amount_minor,
    NULL AS platform_amount_minor,
    0 AS received_qty,
    NULL AS disposition,
    booked_from AS requested_at,
    NULL AS paid_at,
    billing_cycle_id,
    greatest(abs(product_minor + shipping_minor + product_tax_minor + shipping_tax_minor), abs(commission_minor + commission_vat_minor)) AS difference_minor,
    'MISSING_EXTRACT' AS verdict,
    '' AS evidence_class,
    NULL AS credit_difference_minor
FROM lake.core.bookings
WHERE
    shop = $shop AND kind = 'unnamed refund'
    AND booked_from < $month_end AND booked_from >= least($month_start, CAST($again_log_from AS TIMESTAMPTZ))
    AND (booked_until IS NULL OR booked_until >= $month_end)
    AND (booked_from >= $month_start OR 'log:' || subject_id IN (SELECT reference FROM again))
UNION ALL
SELECT
    $shop AS shop,
    coalesce(currency, $currency) AS currency,
    $month AS month,
    'receipt:' || receipt_event_id || '#' || unit_no AS match_key,
    order_id,
    NULL AS order_line_id,
    NULL AS return_id,
    NULL AS return_unit_id,
    NULL AS refund_id,
    NULL AS intended_amount_minor,
    NULL AS marketplace_amount_minor,
    NULL AS settled_amount_minor,
    NULL AS platform_amount_minor,
    1 AS received_qty,
    disposition,
    NULL AS requested_at,
    NULL AS paid_at,
    NULL AS billing_cycle_id,
    0 AS difference_minor,
    CASE WHEN currency IS NULL THEN 'RECEIPT_WITHOUT_ORDER' ELSE 'RECEIPT_WITHOUT_REFUND' END AS verdict,
    '' AS evidence_class,
    NULL AS credit_difference_minor
FROM unannounced
) TO $file (FORMAT parquet, STRING_DICTIONARY_PAGE_SIZE_LIMIT 4096);
