-- The pack's face of order_vs_ledger: one row per order line and component with an amount on either side.
-- Key: (order_line_id, currency, component). Source: order_vs_ledger as shown. Invariant: a line's rows carry all of its amounts.
WITH parts AS (
    SELECT shop, currency, order_id, order_line_id, is_in_log_alone, is_mismatched, p.component, p.order_amount_minor, p.ledger_amount_minor
    FROM (
        SELECT
            shop,
            currency,
            order_id,
            order_line_id,
            order_sales_minor = 0 AND order_shipping_minor = 0 AND variance_code = 'MISSING_EXTRACT' AS is_in_log_alone,
            variance_code = 'FX' AS is_mismatched,
            unnest([
                {'component': 'sales', 'order_amount_minor': order_sales_minor, 'ledger_amount_minor': ledger_sales_minor},
                {'component': 'shipping', 'order_amount_minor': order_shipping_minor, 'ledger_amount_minor': ledger_shipping_minor},
                {'component': 'sales_tax', 'order_amount_minor': order_sales_tax_minor, 'ledger_amount_minor': ledger_sales_tax_minor},
                {'component': 'shipping_tax', 'order_amount_minor': order_shipping_tax_minor, 'ledger_amount_minor': ledger_shipping_tax_minor},
                {'component': 'commission', 'order_amount_minor': order_commission_minor, 'ledger_amount_minor': ledger_commission_minor},
                {'component': 'commission_vat', 'order_amount_minor': order_commission_vat_minor, 'ledger_amount_minor': ledger_commission_vat_minor}
            ]) AS p
        FROM shown_order_vs_ledger
    )
)
SELECT
    shop,
    currency,
    order_id,
    order_line_id,
    component,
    order_amount_minor,
    ledger_amount_minor,
    ledger_amount_minor - order_amount_minor AS difference_minor,
    CASE
        WHEN is_in_log_alone THEN 'MISSING_EXTRACT'
        WHEN is_mismatched AND order_amount_minor <> ledger_amount_minor THEN 'FX'
        ELSE stage.order_code(shop, currency, component, order_amount_minor, ledger_amount_minor)
    END AS variance_code
FROM parts
WHERE order_amount_minor <> 0 OR ledger_amount_minor <> 0
