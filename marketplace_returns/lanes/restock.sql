-- One row per returned unit that was found sellable, with the offer that sells the item that came. Key: (receipt_event_id, unit_no).
-- The item is the one received, whatever was announced (R13); offers: how many offers sell it (0: offer_sku is null).
-- is_old: it was inspected long before we first saw it, so nobody knows whether it is counted already.
-- Source: model.receipts, core.receipt_assignments, core.mirakl__offers, mapping.skus.
WITH sellers AS (
    SELECT coalesce(s.item_code, f.offer_sku) AS item_code, min(f.offer_sku) AS offer_sku, count(*) AS offers
    FROM lake.core.mirakl__offers AS f
    LEFT JOIN mapping.skus AS s ON s.shop = f.shop AND s.offer_sku = f.offer_sku
    WHERE f.shop = $shop
    GROUP BY coalesce(s.item_code, f.offer_sku)
)
SELECT
    e.receipt_event_id,
    e.unit_no,
    e.order_id,
    a.return_id,
    a.return_unit_id,
    e.item_code,
    e.source_system,
    e.source_code,
    e.inspected_at,
    e.payload_hash,
    o.offer_sku,
    coalesce(o.offers, 0) AS offers,
    a.assigned_at - e.inspected_at > to_seconds($old_after_s) AS is_old
FROM model.receipts AS e
INNER JOIN lake.core.receipt_assignments AS a
    ON a.shop = e.shop AND a.receipt_event_id = e.receipt_event_id AND a.unit_no = e.unit_no
LEFT JOIN sellers AS o ON o.item_code = e.item_code
WHERE e.shop = $shop AND e.disposition = 'sellable'
ORDER BY e.inspected_at, e.receipt_event_id, e.unit_no;
