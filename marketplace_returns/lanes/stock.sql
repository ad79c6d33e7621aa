-- One row per offer whose quantity on sale is not what the warehouse has to sell, or that the warehouse does not know.
-- Key: offer_sku. wanted_qty = max(0, available - buffer - sold but not yet in the warehouse). Source: model.stock.
SELECT
    s.offer_sku,
    s.item_code,
    s.offer_quantity,
    s.available,
    s.is_listed,
    s.not_yet_in_warehouse_qty,
    greatest(0, s.available - $buffer - s.not_yet_in_warehouse_qty) AS wanted_qty,
    s.as_of,
    s.stock_payload_hash
FROM model.stock AS s
WHERE
    s.shop = $shop
    AND (
        s.available IS NULL
        OR s.offer_quantity <> greatest(0, s.available - $buffer - s.not_yet_in_warehouse_qty)
    )
ORDER BY s.offer_sku;
