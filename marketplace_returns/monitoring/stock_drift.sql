-- One row per offer whose quantity is not what the warehouse has to sell although no push of it waits and the last one was
-- long ago (R83). Key: offer_sku. Where a push does wait, stock_sync tells its age. Source: model.stock, push_stock writes.
WITH pushes AS (
    SELECT
        json_extract_string(body, '$.offer_sku') AS offer_sku,
        max(confirmed_at) AS last_pushed_at,
        bool_or(state IN ('PLANNED', 'SENDING', 'UNKNOWN')) AS is_waiting
    FROM ledger.writes
    WHERE shop = $shop AND kind = 'push_stock'
    GROUP BY ALL
)
SELECT
    s.offer_sku,
    s.item_code,
    s.offer_quantity,
    greatest(0, s.available - $buffer - s.not_yet_in_warehouse_qty) AS wanted_qty,
    s.offer_quantity - greatest(0, s.available - $buffer - s.not_yet_in_warehouse_qty) AS difference,
    s.available,
    s.as_of,
    p.last_pushed_at,
    s.inactivity_reasons
FROM model.stock AS s
LEFT JOIN pushes AS p ON p.offer_sku = s.offer_sku
WHERE
    s.shop = $shop
    AND $authority = 'wms_absolute'
    AND s.available IS NOT NULL
    AND s.offer_quantity <> greatest(0, s.available - $buffer - s.not_yet_in_warehouse_qty)
    AND NOT coalesce(p.is_waiting, false)
    AND coalesce(p.last_pushed_at, TIMESTAMPTZ '1970-01-01 00:00:00+00') < $drifted_before
    AND s.as_of < $drifted_before
ORDER BY abs(difference) DESC, s.offer_sku;
