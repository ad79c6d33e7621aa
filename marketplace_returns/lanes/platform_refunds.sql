-- One row per refund that a returns platform says it executed itself. Key: (platform_return_id, platform_refund_id).
-- marketplace_refunds: refunds the marketplace shows on the lines of the return's order that came back.
-- Source: reported.refunds, reported.returns, model.return_cases, core.mirakl__refunds.
WITH executed AS (
    SELECT f.platform, f.platform_return_id, f.platform_refund_id, f.currency, f.amount_minor, f.executed_at, f.is_advance
    FROM reported.refunds AS f
    WHERE f.shop = $shop AND upper(f.status) = 'EXECUTED'
)
SELECT
    e.platform,
    e.platform_return_id,
    e.platform_refund_id,
    e.currency,
    e.amount_minor,
    e.executed_at,
    coalesce(e.is_advance, false) AS is_advance,
    coalesce(c.order_id, p.order_id, '') AS order_id,
    coalesce(c.return_id, '') AS return_id,
    count(DISTINCT r.refund_id) AS marketplace_refunds
FROM executed AS e
INNER JOIN reported.returns AS p ON p.shop = $shop AND p.platform_return_id = e.platform_return_id
LEFT JOIN model.return_cases AS c ON c.shop = $shop AND c.platform_return_id = e.platform_return_id
LEFT JOIN model.return_units AS u ON u.shop = $shop AND u.return_id = c.return_id
LEFT JOIN lake.core.mirakl__refunds AS r ON r.shop = $shop AND r.order_line_id = u.order_line_id
GROUP BY ALL
ORDER BY e.executed_at, e.platform_return_id, e.platform_refund_id;
