-- What the returns platform reported of the shop's returns, read once. Source: reported.returns. own_return_id names a return that
-- was opened on the platform and that the marketplace does not know (external_id).
CREATE OR REPLACE TABLE platform_returns AS
SELECT
    platform,
    platform_return_id,
    platform || ':' || platform_return_id AS own_return_id,
    external_id,
    order_id,
    platform_status,
    created_at,
    updated_at,
    shipped_at
FROM reported.returns
WHERE shop = $shop;
