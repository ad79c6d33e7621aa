-- One row per platform return that may still have news for us: an item is not inspected, and the marketplace has not ended it.
-- Key: platform_return_id. Source: reported.returns, reported.items, core.mirakl__returns.
-- Parameters: $shop; $since and $before, between which it was created.
SELECT r.platform_return_id
FROM reported.returns AS r
WHERE
    r.shop = $shop
    AND r.created_at >= $since
    AND r.created_at < $before
    AND EXISTS (
        SELECT 1 FROM reported.items AS i
        WHERE i.shop = r.shop AND i.platform_return_id = r.platform_return_id AND i.disposition_code IS NULL
    )
    AND NOT EXISTS (
        SELECT 1 FROM lake.core.mirakl__returns AS m
        WHERE
            m.shop = r.shop
            AND m.order_id = r.order_id
            AND (m.return_id = r.external_id OR m.rma = r.platform_return_id)
            AND m.return_state IN ('REFUSED', 'CANCELED', 'NO_RECEPTION', 'CLOSED')
    )
ORDER BY r.platform_return_id
