-- One row per expected receipt (ASN) of the warehouse. Key: (shop, purchase_order_number). Source: Peoplevox Purchase orders,
-- Goods in summary. Its number is RTN-<marketplace return id>, or RTN-<platform return id> for a parcel that only the returns
-- platform knows (an exchange, a replacement); return_id is null there.
-- is_open: neither cancelled nor received. arrived_at: when a delivery was first booked against it.
CREATE OR REPLACE VIEW model.expected_receipts AS
WITH arrived AS (
    SELECT g.shop, g.purchase_order_number, min(g.delivered_at) AS arrived_at, CAST(sum(g.quantity) AS BIGINT) AS quantity
    FROM lake.core.peoplevox__goods_in AS g
    WHERE starts_with(g.purchase_order_number, 'RTN-')
    GROUP BY g.shop, g.purchase_order_number
)
SELECT
    p.shop,
    p.purchase_order_number,
    c.return_id,
    p.status AS warehouse_status,
    s.canonical AS status,
    a.arrived_at,
    coalesce(a.quantity, 0) AS arrived_quantity,
    a.arrived_at IS NULL AND lower(p.status) <> 'deleted' AND coalesce(s.canonical, 'approved') NOT IN ('cancelled', 'received')
        AS is_open,
    p.fetched_at,
    p.payload_hash
FROM lake.core.peoplevox__purchase_orders AS p
LEFT JOIN lake.core.mirakl__returns AS c ON c.shop = p.shop AND p.purchase_order_number = 'RTN-' || c.return_id
LEFT JOIN mapping.statuses AS s ON s.source_system = 'peoplevox' AND lower(s.source_code) = lower(p.status)
LEFT JOIN arrived AS a ON a.shop = p.shop AND a.purchase_order_number = p.purchase_order_number
WHERE starts_with(p.purchase_order_number, 'RTN-');
