-- One row per return of an order, with what came of its units and their refunds. Key: return_id.
-- units: those that were given ordinals, or as many as were announced while none was. A line's refunds meet its units as the
-- refund clock counts them (accepted ones first come, first served), so that no refund is told of two returns.
-- refund_due_at: the end of the refund clock by policy, null while it has not begun.
-- Source: model.return_cases, model.return_units, model.refunds, model.expected_receipts, core.mirakl__return_lines.
WITH refunds AS (
    SELECT
        order_line_id, refund_id, total_minor, created_at, paid_at,
        row_number() OVER (PARTITION BY order_line_id ORDER BY created_at, refund_id) AS place
    FROM model.refunds
    WHERE shop = $shop AND order_id = $order_id
),
units AS (
    SELECT
        u.*,
        coalesce(u.disposition, 'sellable') = 'sellable' AS may_be_refunded,
        row_number() OVER (
            PARTITION BY u.order_line_id, coalesce(u.disposition, 'sellable') = 'sellable'
            ORDER BY u.inspected_at NULLS LAST, u.ordinal
        ) AS place
    FROM model.return_units AS u
    WHERE u.shop = $shop AND u.order_id = $order_id AND NOT u.is_over_quantity
),
counted AS (
    SELECT
        u.return_id,
        count(*) AS units,
        count(u.inspected_at) AS inspected_units,
        count(*) FILTER (u.disposition = 'sellable') AS accepted_units,
        count(*) FILTER (u.disposition <> 'sellable') AS refused_units,
        count(*) FILTER (u.inspected_at IS NOT NULL AND u.disposition IS NULL) AS unmapped_units,
        min(u.disposition) FILTER (u.disposition <> 'sellable') AS refused_as,
        min(u.receipt_source_code) FILTER (u.inspected_at IS NOT NULL AND u.disposition IS NULL) AS unmapped_word,
        max(u.inspected_at) AS inspected_at,
        count(r.refund_id) AS refunds,
        count(r.paid_at) AS refunds_paid,
        CAST(coalesce(sum(r.total_minor), 0) AS BIGINT) AS refunded_minor,
        max(r.created_at) AS refunded_at,
        max(r.paid_at) AS paid_at,
        CAST(sum(u.unit_value_minor) AS BIGINT) AS value_minor,
        min(model.refund_clock_from(
            $deadline_from, u.requested_at, u.shipped_at, u.platform_received_at, u.inspected_at
        )) + to_hours($deadline_hours) AS refund_due_at
    FROM units AS u
    LEFT JOIN refunds AS r ON u.may_be_refunded AND r.order_line_id = u.order_line_id AND r.place = u.place
    GROUP BY u.return_id
),
announced AS (
    SELECT return_id, CAST(sum(quantity) AS BIGINT) AS units
    FROM lake.core.mirakl__return_lines
    WHERE shop = $shop AND order_id = $order_id
    GROUP BY return_id
),
arrived AS (
    SELECT return_id, min(arrived_at) AS arrived_at FROM model.expected_receipts WHERE shop = $shop GROUP BY return_id
)
SELECT
    c.return_id,
    coalesce(c.return_state, '') AS return_state,
    c.is_void,
    c.is_ended,
    coalesce(c.platform_return_id, '') AS platform_return_id,
    coalesce(c.status, '') AS status,
    coalesce(c.platform_tracking_number, '') AS tracking_number,
    c.created_at AS requested_at,
    c.shipped_at,
    least(c.platform_received_at, a.arrived_at, u.inspected_at) AS received_at,
    u.inspected_at,
    coalesce(u.units, n.units, 0) AS units,
    coalesce(u.inspected_units, 0) AS inspected_units,
    coalesce(u.accepted_units, 0) AS accepted_units,
    coalesce(u.refused_units, 0) AS refused_units,
    coalesce(u.unmapped_units, 0) AS unmapped_units,
    coalesce(u.refused_as, '') AS refused_as,
    coalesce(u.unmapped_word, '') AS unmapped_word,
    coalesce(u.refunds, 0) AS refunds,
    coalesce(u.refunds_paid, 0) AS refunds_paid,
    coalesce(u.refunded_minor, 0) AS refunded_minor,
    u.refunded_at,
    u.paid_at,
    coalesce(u.value_minor, 0) AS value_minor,
    u.refund_due_at
FROM model.return_cases AS c
LEFT JOIN counted AS u ON u.return_id = c.return_id
LEFT JOIN announced AS n ON n.return_id = c.return_id
LEFT JOIN arrived AS a ON a.return_id = c.return_id
WHERE c.shop = $shop AND c.order_id = $order_id
ORDER BY c.created_at, c.return_id;
