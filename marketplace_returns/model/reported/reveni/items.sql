-- One row per item line of a Reveni return. Source: core.reveni__return_items, core.reveni__returns.
-- The verdict is the inspection; of an instant return it is the calendar's, so it counts as none.
SELECT
    i.shop,
    'reveni' AS platform,
    i.platform_return_id,
    i.item_id,
    i.external_id AS order_line_id,
    i.sku,
    i.received_sku,
    i.quantity,
    i.return_reason,
    CASE
        WHEN i.item_status <> 'PENDING' AND p.resolved_at IS NOT NULL AND NOT coalesce(p.is_instant, false)
            THEN lower(i.item_status) || '|' || lower(coalesce(i.reject_reason, p.restock_choice, ''))
    END AS disposition_code,
    CASE WHEN i.item_status <> 'PENDING' AND NOT coalesce(p.is_instant, false) THEN p.resolved_at END AS inspected_at,
    i.item_status = 'PENDING' AS is_outcome_due,
    i.payload_hash
FROM lake.core.reveni__return_items AS i
LEFT JOIN lake.core.reveni__returns AS p ON p.shop = i.shop AND p.platform_return_id = i.platform_return_id
