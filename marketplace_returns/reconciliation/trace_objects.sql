-- One row per object of a source that belongs to an order but does not say so itself. Key: (source, object_type, object_id).
-- A platform's return may name the order in the shop's own words; an expected receipt names only the return (RTN-<return id>).
-- Source: core tables and the platforms' reports, by key; never an e-mail.
WITH platform_returns AS (
    SELECT platform, platform_return_id FROM reported.returns WHERE shop = $shop AND order_id = $order_id
),

parcels AS (
    SELECT return_id AS parcel_id FROM lake.core.mirakl__returns WHERE shop = $shop AND order_id = $order_id
    UNION
    SELECT platform_return_id FROM platform_returns
)

SELECT platform AS source, 'return' AS object_type, platform_return_id AS object_id FROM platform_returns
UNION
SELECT 'peoplevox', 'purchase_order', 'RTN-' || parcel_id FROM parcels
ORDER BY ALL;
