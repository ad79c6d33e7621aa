-- One row per return unit whose refund trigger has happened, with what its order line cost. Key: return_unit_id.
-- trigger_at: inspected (default), received or carrier_scan by policy (C1); where the policy refunds at the deadline and
-- nothing of the return was inspected by then, the deadline itself (evidence_class SLA_FORCED). A unit beyond what was sold
-- is none. unit_rank: place of the unit among the refundable
-- ones of its line, so that an ended return is left alone once its line shows enough refunds. carries_shipping: the last
-- unit of its line once the whole order came back.
-- Source: model.return_units, model.order_lines, core.mirakl__order_line_taxes, mapping.reasons (flow refund).
-- refund_reason: by the marketplace's reason; of a return it does not have, by what the platform's reason is there (report_return).
WITH platform_reasons AS (
    SELECT source_code, target_code
    FROM mapping.reasons
    WHERE
        source_system = $platform AND flow = 'report_return' AND target_vocabulary = 'mirakl_return' AND coalesce(valid_from, DATE '0001-01-01') <= $today
    QUALIFY row_number() OVER (PARTITION BY source_code ORDER BY valid_from DESC NULLS LAST) = 1
),
reasons AS (
    SELECT source_code, target_code
    FROM mapping.reasons
    WHERE
        source_system = 'mirakl' AND flow = 'refund' AND target_vocabulary = 'mirakl_refund' AND coalesce(valid_from, DATE '0001-01-01') <= $today
    QUALIFY row_number() OVER (PARTITION BY source_code ORDER BY valid_from DESC NULLS LAST) = 1
),
watched AS (
    SELECT
        u.*,
        CASE $trigger
            WHEN 'inspected' THEN u.inspected_at
            WHEN 'received' THEN least(u.inspected_at, u.platform_received_at)
            ELSE least(u.inspected_at, u.platform_received_at, u.shipped_at)
        END AS event_at,
        model.refund_clock_from(
            $deadline_from, u.requested_at, u.shipped_at, u.platform_received_at, u.inspected_at
        ) + to_hours($deadline_hours) AS deadline_at,
        count(u.inspected_at) OVER (PARTITION BY u.return_id) AS inspected_of_return
    FROM model.return_units AS u
    WHERE u.shop = $shop AND NOT u.is_void AND NOT u.is_over_quantity
),
units AS (
    SELECT
        w.*,
        CASE
            WHEN w.event_at <= $now THEN w.event_at
            WHEN $at_deadline = 'refund' AND w.inspected_of_return = 0 AND NOT w.is_ended THEN w.deadline_at
        END AS trigger_at,
        coalesce(w.event_at <= $now, false) AS has_event
    FROM watched AS w
),
triggered AS (
    SELECT
        u.*,
        row_number() OVER (
            PARTITION BY u.order_line_id, coalesce(u.disposition, 'sellable') = 'sellable' ORDER BY u.ordinal
        ) AS unit_rank,
        row_number() OVER (PARTITION BY u.order_line_id ORDER BY u.trigger_at DESC, u.return_unit_id DESC) AS from_last
    FROM units AS u
    WHERE u.trigger_at <= $now
),
ordered AS (
    SELECT l.order_id, sum(l.quantity) AS units
    FROM model.order_lines AS l
    WHERE l.shop = $shop AND l.order_id IN (SELECT t.order_id FROM triggered AS t)
    GROUP BY l.order_id
),
came_back AS (
    SELECT t.order_id, count(*) FILTER (coalesce(t.disposition, 'sellable') = 'sellable') AS units
    FROM triggered AS t
    GROUP BY t.order_id
),
refunded AS (
    SELECT order_line_id, count(*) AS refunds
    FROM lake.core.mirakl__refunds
    WHERE shop = $shop
    GROUP BY order_line_id
),
taxes AS (
    SELECT
        order_line_id,
        list(
            {'kind': tax_kind, 'code': tax_code, 'amount_minor': amount_minor, 'rule': calculation_rule}
            ORDER BY tax_kind, tax_code
        ) AS taxes
    FROM lake.core.mirakl__order_line_taxes
    WHERE shop = $shop
    GROUP BY order_line_id
)
SELECT
    u.return_unit_id,
    u.return_id,
    u.order_id,
    u.order_line_id,
    u.ordinal,
    u.line_quantity,
    u.is_over_quantity,
    u.offer_sku,
    coalesce(u.reason_code, w.target_code) AS reason_code,
    u.platform_reason,
    u.requested_at,
    u.receipt_event_id,
    u.receipt_source,
    u.receipt_source_code,
    u.received_item_code,
    u.inspected_at,
    u.trigger_at,
    u.deadline_at,
    -- What a refund stands on (I9): goods in the house, the carrier's scan the policy asks for, or the deadline alone.
    CASE
        WHEN NOT u.has_event THEN 'SLA_FORCED'
        WHEN u.inspected_at IS NOT NULL THEN 'INSPECTED'
        WHEN u.platform_received_at IS NOT NULL THEN 'RECEIVED'
        ELSE 'CARRIER_SCAN'
    END AS evidence_class,
    u.disposition,
    u.receipt_payload_hash,
    o.order_state,
    o.order_tax_mode,
    o.currency,
    l.price_minor,
    l.shipping_price_minor,
    l.payload_hash AS order_payload_hash,
    m.target_code AS refund_reason,
    coalesce(t.taxes, []) AS taxes,
    u.from_last = 1 AND b.units = n.units AS carries_shipping,
    coalesce(r.refunds, 0) >= u.unit_rank AS is_refunded
FROM triggered AS u
INNER JOIN model.orders AS o ON o.shop = u.shop AND o.order_id = u.order_id
INNER JOIN model.order_lines AS l ON l.shop = u.shop AND l.order_line_id = u.order_line_id
INNER JOIN ordered AS n ON n.order_id = u.order_id
INNER JOIN came_back AS b ON b.order_id = u.order_id
LEFT JOIN platform_reasons AS w ON lower(w.source_code) = lower(u.platform_reason)
LEFT JOIN reasons AS m ON m.source_code = coalesce(u.reason_code, w.target_code)
LEFT JOIN taxes AS t ON t.order_line_id = u.order_line_id
LEFT JOIN refunded AS r ON r.order_line_id = u.order_line_id
WHERE NOT u.is_ended OR coalesce(r.refunds, 0) < u.unit_rank
ORDER BY u.trigger_at, u.return_unit_id;
