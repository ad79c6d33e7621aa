-- One row: an order as it stands, with when its parcels left and what was refunded of it. Key: order_id.
-- Source: model.orders, model.order_lines, model.despatches, model.refunds.
SELECT
    o.order_id,
    o.commercial_id,
    o.order_state,
    o.currency,
    o.total_price_minor AS total_minor,
    o.created_at AS ordered_at,
    o.acceptance_decided_at AS accepted_at,
    o.shipping_deadline_at,
    o.is_in_warehouse,
    o.has_incident,
    (
        SELECT min(d.despatched_at) FROM model.despatches AS d WHERE d.shop = o.shop AND d.order_id = o.order_id
    ) AS despatched_at,
    (
        SELECT max(l.shipped_at) FROM model.order_lines AS l WHERE l.shop = o.shop AND l.order_id = o.order_id
    ) AS shipped_at,
    (
        SELECT max(l.received_at) FROM model.order_lines AS l WHERE l.shop = o.shop AND l.order_id = o.order_id
    ) AS delivered_at,
    (
        SELECT CAST(coalesce(sum(r.total_minor), 0) AS BIGINT)
        FROM model.refunds AS r WHERE r.shop = o.shop AND r.order_id = o.order_id
    ) AS refunded_minor
FROM model.orders AS o
WHERE o.shop = $shop AND o.order_id = $order_id;
