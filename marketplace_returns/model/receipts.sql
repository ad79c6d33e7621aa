-- One row per unit the warehouse (or, for a shop without one, the platform) inspected. Key: (shop, receipt_event_id, unit_no).
-- Source: Peoplevox Return summary, or what the returns platform found (reported.items) where the shop's settings say that
-- it inspects: one of them, never both.
-- disposition is canonical (mapping.dispositions); an unmapped pair stays null and is an exception, never a guess.
CREATE OR REPLACE VIEW model.receipts AS
WITH inspected AS (
    SELECT
        r.shop,
        'peoplevox:' || r.return_code || ':' || r.item_code || ':' || r.row_no AS receipt_event_id,
        'peoplevox' AS source_system,
        r.sales_order_number AS order_id,
        r.item_code,
        r.quantity,
        lower(coalesce(r.return_condition, '')) || '|' || lower(CAST(r.is_reusable AS VARCHAR)) AS source_code,
        r.returned_at AS inspected_at,
        r.payload_hash
    FROM lake.core.peoplevox__returns AS r
    INNER JOIN setting.shops AS c ON c.shop = r.shop AND c.is_inspected_by_warehouse
    UNION ALL
    SELECT
        i.shop,
        i.platform || ':' || i.platform_return_id || ':' || i.item_id AS receipt_event_id,
        i.platform AS source_system,
        p.order_id,
        coalesce(i.received_sku, s.item_code, i.sku) AS item_code,
        i.quantity,
        lower(i.disposition_code) AS source_code,
        i.inspected_at,
        i.payload_hash
    FROM reported.items AS i
    INNER JOIN reported.returns AS p ON p.shop = i.shop AND p.platform_return_id = i.platform_return_id
    INNER JOIN setting.shops AS c ON c.shop = i.shop AND c.platform = i.platform AND NOT c.is_inspected_by_warehouse
    LEFT JOIN mapping.skus AS s ON s.shop = i.shop AND s.offer_sku = i.sku
    WHERE i.disposition_code IS NOT NULL AND i.inspected_at IS NOT NULL
)
SELECT
    e.shop,
    e.receipt_event_id,
    unnest(range(1, e.quantity + 1)) AS unit_no,
    e.source_system,
    e.order_id,
    e.item_code,
    e.source_code,
    d.canonical AS disposition,
    e.inspected_at,
    e.payload_hash
FROM inspected AS e
LEFT JOIN mapping.dispositions AS d
    ON d.source_system = e.source_system AND lower(d.source_code) = e.source_code;
