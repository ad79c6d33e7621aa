-- One row per order that a number belongs to, with the kind of number it is. Key: (shop, order_id, kind).
-- Source: core tables, by key; never an e-mail.
SELECT DISTINCT shop, order_id, kind FROM (
    SELECT shop, order_id, 'order' AS kind FROM lake.core.mirakl__orders
    WHERE order_id = $reference
    UNION ALL
    SELECT shop, order_id, 'order' FROM lake.core.mirakl__orders WHERE commercial_id = $reference
    UNION ALL
    SELECT shop, order_id, 'seller reference' FROM lake.core.mirakl__orders WHERE seller_reference = $reference
    UNION ALL
    SELECT shop, order_id, 'order line' FROM lake.core.mirakl__order_lines WHERE order_line_id = $reference
    UNION ALL
    SELECT shop, order_id, 'return' FROM lake.core.mirakl__returns WHERE return_id = $reference
    UNION ALL
    SELECT shop, order_id, 'RMA' FROM lake.core.mirakl__returns WHERE rma = $reference
    UNION ALL
    SELECT shop, order_id, 'platform return' FROM reported.returns
    WHERE platform_return_id = $reference AND order_id IS NOT NULL
    UNION ALL
    SELECT m.shop, m.order_id, 'platform return'
    FROM reported.returns AS p
    INNER JOIN lake.core.mirakl__returns AS m ON m.shop = p.shop AND m.return_id = p.external_id
    WHERE p.platform_return_id = $reference
    UNION ALL
    SELECT shop, order_id, 'tracking number' FROM reported.returns WHERE tracking_number = $reference AND order_id IS NOT NULL
    UNION ALL
    SELECT shop, order_id, 'refund' FROM lake.core.mirakl__refunds WHERE refund_id = $reference
    UNION ALL
    SELECT shop, order_id, 'refund' FROM lake.core.mirakl__refunds WHERE order_refund_id = $reference
    UNION ALL
    SELECT shop, order_id, 'tracking number' FROM lake.core.mirakl__orders WHERE shipping_tracking = $reference
    UNION ALL
    SELECT shop, order_id, 'tracking number' FROM lake.core.mirakl__returns WHERE tracking_number = $reference
    UNION ALL
    SELECT shop, sales_order_number, 'tracking number' FROM lake.core.peoplevox__despatches WHERE tracking_number = $reference
    UNION ALL
    SELECT shop, sales_order_number, 'warehouse order' FROM lake.core.peoplevox__sales_orders
    WHERE sales_order_number = $reference
    UNION ALL
    SELECT shop, sales_order_number, 'despatch' FROM lake.core.peoplevox__despatches WHERE despatch_number = $reference
    UNION ALL
    SELECT shop, sales_order_number, 'warehouse return' FROM lake.core.peoplevox__returns WHERE return_code = $reference
)
ORDER BY shop, order_id, kind;
