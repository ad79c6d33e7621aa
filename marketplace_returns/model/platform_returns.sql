-- One row per return of the returns platform. Key: (shop, platform_return_id). Source: Reveni.
-- status is canonical (mapping.statuses), the platform's own word stays in platform_status; an unmapped word stays null.
CREATE OR REPLACE VIEW model.platform_returns AS
SELECT
    p.shop,
    p.platform_return_id,
    'reveni' AS platform,
    p.external_id,
    p.order_id,
    s.canonical AS status,
    p.status AS platform_status,
    p.is_instant,
    p.currency,
    p.refund_amount_minor,
    p.restock_choice,
    p.carrier,
    p.tracking_number,
    p.label_url,
    p.created_at,
    p.updated_at,
    p.shipped_at,
    p.received_at,
    p.resolved_at,
    p.payload_hash
FROM lake.core.reveni__returns AS p
LEFT JOIN mapping.statuses AS s ON s.source_system = 'reveni' AND upper(s.source_code) = upper(p.status);
