-- One row per penalty fee of the marketplace with the late step that caused it and who owned it (R118). Key: transaction_id.
-- late_step: the first of acceptance, despatch confirmation, refund that was later than promised on that order; 'unexplained'
-- where none was, or the fee names no order. owner: of the exception raised for that step, else of the step's own type.
-- Source: TL02 lines of component penalty (mapping.transaction_types), the model, the ledger's exceptions.
WITH fees AS (
    SELECT t.transaction_id, t.transaction_type, t.order_id, t.order_line_id, t.currency, t.amount_minor, t.created_at
    FROM lake.core.mirakl__transactions AS t
    INNER JOIN mapping.transaction_types AS m ON m.type = t.transaction_type AND m.component = 'penalty'
    WHERE t.shop = $shop
),
steps AS (
    SELECT
        o.order_id,
        1 AS place,
        'acceptance' AS late_step,
        'ACK_' AS types,
        date_diff('hour', o.created_at + to_hours(CAST($ack_hours AS BIGINT)), coalesce(o.acceptance_decided_at, $now)) AS hours_late,
        'operations' AS owner
    FROM model.orders AS o
    WHERE
        o.shop = $shop
        AND coalesce(o.acceptance_decided_at, CASE WHEN o.order_state IN ('WAITING_ACCEPTANCE', 'REFUSED') THEN $now END)
        > o.created_at + to_hours(CAST($ack_hours AS BIGINT))
    UNION ALL
    SELECT
        o.order_id, 2, 'despatch', 'DESPATCH_',
        date_diff('hour', o.shipping_deadline_at, coalesce(max(l.shipped_at), $now)),
        CASE WHEN min(d.despatched_at) <= o.shipping_deadline_at THEN 'operations' ELSE 'warehouse' END
    FROM model.orders AS o
    INNER JOIN model.order_lines AS l ON l.shop = o.shop AND l.order_id = o.order_id
    LEFT JOIN model.despatches AS d ON d.shop = l.shop AND d.order_line_id = l.order_line_id
    WHERE o.shop = $shop AND o.order_state <> 'REFUSED' AND coalesce(l.shipped_at, $now) > o.shipping_deadline_at
    GROUP BY o.order_id, o.shipping_deadline_at
    UNION ALL
    SELECT
        u.order_id, 3, 'refund', 'REFUND_',
        max(date_diff('hour', u.received_at + to_hours(CAST($deadline_hours AS BIGINT)), coalesce(r.paid_at, r.created_at, $now))),
        'customer_experience'
    FROM model.return_units AS u
    LEFT JOIN model.refunds AS r ON r.shop = u.shop AND r.order_line_id = u.order_line_id
    WHERE
        u.shop = $shop AND u.received_at IS NOT NULL
        AND coalesce(r.paid_at, r.created_at, $now) > u.received_at + to_hours(CAST($deadline_hours AS BIGINT))
    GROUP BY u.order_id
),
-- An aggregate: DuckDB 1.5 sometimes dies of a window over this union.
late AS (
    SELECT
        order_id, min_by(late_step, place) AS late_step, min_by(types, place) AS types, min_by(hours_late, place) AS hours_late,
        min_by(owner, place) AS owner
    FROM steps
    GROUP BY order_id
),
cases AS (
    SELECT json_extract_string(entity, '$.order_id') AS order_id, type, owner, exception_id
    FROM ledger.cases
    WHERE shop = $shop
)
SELECT
    f.transaction_id,
    f.transaction_type,
    f.created_at AS charged_at,
    f.order_id,
    f.order_line_id,
    f.currency,
    f.amount_minor,
    coalesce(l.late_step, 'unexplained') AS late_step,
    l.hours_late,
    (SELECT min(c.exception_id) FROM cases AS c WHERE c.order_id = f.order_id AND starts_with(c.type, l.types)) AS exception_id,
    coalesce(
        (SELECT min_by(c.owner, c.exception_id) FROM cases AS c WHERE c.order_id = f.order_id AND starts_with(c.type, l.types)),
        l.owner,
        'finance'
    ) AS owner
FROM fees AS f
LEFT JOIN late AS l ON l.order_id = f.order_id
ORDER BY f.created_at DESC, f.transaction_id;
