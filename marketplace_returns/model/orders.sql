-- One row per logistic order. Key: (shop, order_id). Source: OR11.
CREATE OR REPLACE VIEW model.orders AS
SELECT
    o.shop,
    o.order_id,
    o.commercial_id,
    o.order_state,
    o.order_tax_mode,
    o.currency,
    o.price_minor,
    o.shipping_price_minor,
    o.total_price_minor,
    o.created_at,
    o.updated_at,
    o.acceptance_decided_at,
    o.customer_debited_at,
    o.shipping_deadline_at,
    coalesce(o.has_incident, false) AS has_incident,
    coalesce(o.has_shipping_address, false) AS has_shipping_address,
    o.shipping_carrier_code,
    o.shipping_company,
    o.shipping_tracking,
    o.shipping_type_code,
    o.payload_hash,
    so.sales_order_number IS NOT NULL AS is_in_warehouse,
    so.status AS warehouse_status,
    so.fetched_at AS seen_in_warehouse_at
FROM lake.core.mirakl__orders AS o
LEFT JOIN lake.core.peoplevox__sales_orders AS so
    ON so.shop = o.shop AND so.sales_order_number = o.order_id;
