-- What the returns platform reported of the shop's returns, read once. Source: reported.returns.
CREATE OR REPLACE TEMP TABLE platform_returns AS
SELECT platform, platform_return_id, external_id, order_id, platform_status, created_at, shipped_at
FROM reported.returns
WHERE shop = $shop;
