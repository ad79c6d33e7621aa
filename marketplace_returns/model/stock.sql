-- One row per offer with what the warehouse has. Key: (shop, offer_sku). Sources: OF21, model.warehouse_stock, Peoplevox Item
-- types. available: null for an item the warehouse does not know; nothing for one of its catalogue that its whole list does
-- not have (is_listed = false).
-- not_yet_in_warehouse_qty: units sold on the marketplace whose order the warehouse did not know yet when its figures
-- were read; its available figure still counts them, so pushing it whole would sell them twice.
-- as_of: when the stock figure changed or the offers were read, whichever is later: one push per difference seen.
CREATE OR REPLACE VIEW model.stock AS
WITH waiting AS (
    SELECT l.shop, l.item_code, sum(l.quantity) AS quantity
    FROM model.order_lines AS l
    INNER JOIN model.orders AS o ON o.shop = l.shop AND o.order_id = l.order_id
    LEFT JOIN ledger.reads AS r ON r.shop = l.shop AND r.stream = 'peoplevox/stock'
    WHERE
        o.order_state IN ('STAGING', 'WAITING_ACCEPTANCE', 'WAITING_DEBIT', 'WAITING_DEBIT_PAYMENT', 'SHIPPING')
        AND l.line_state NOT IN ('REFUSED', 'CANCELED')
        AND (NOT o.is_in_warehouse OR o.seen_in_warehouse_at > r.read_at)
    GROUP BY l.shop, l.item_code
)
SELECT
    f.shop,
    f.offer_sku,
    coalesce(s.item_code, f.offer_sku) AS item_code,
    f.quantity AS offer_quantity,
    f.is_active,
    f.inactivity_reasons,
    coalesce(w.available, CASE WHEN i.item_code IS NOT NULL AND k.read_at IS NOT NULL THEN 0 END) AS available,
    coalesce(w.is_listed, false) AS is_listed,
    CAST(coalesce(p.quantity, 0) AS BIGINT) AS not_yet_in_warehouse_qty,
    greatest(coalesce(w.fetched_at, k.read_at), a.read_at) AS as_of,
    w.payload_hash AS stock_payload_hash
FROM lake.core.mirakl__offers AS f
LEFT JOIN mapping.skus AS s ON s.shop = f.shop AND s.offer_sku = f.offer_sku
LEFT JOIN model.warehouse_stock AS w ON w.shop = f.shop AND w.item_code = coalesce(s.item_code, f.offer_sku)
LEFT JOIN lake.core.peoplevox__item_types AS i
    ON i.shop = f.shop AND i.item_code = coalesce(s.item_code, f.offer_sku) AND i.is_listed
LEFT JOIN ledger.reads AS k ON k.shop = f.shop AND k.stream = 'peoplevox/stock'
LEFT JOIN ledger.reads AS a ON a.shop = f.shop AND a.stream = 'mirakl/offer'
LEFT JOIN waiting AS p ON p.shop = f.shop AND p.item_code = coalesce(s.item_code, f.offer_sku);
