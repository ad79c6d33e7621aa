-- I5: every order line's price, shipping, taxes on top and commission are the same in OR11 and in the log.
-- A row is an order line of the month. Source: lake.recon.order_vs_ledger.
SELECT
    currency,
    order_line_id AS subject,
    variance_code AS detail,
    ledger_sales_minor + ledger_shipping_minor + ledger_sales_tax_minor + ledger_shipping_tax_minor + ledger_commission_minor
    + ledger_commission_vat_minor - order_sales_minor - order_shipping_minor - order_sales_tax_minor - order_shipping_tax_minor
    - order_commission_minor - order_commission_vat_minor AS difference_minor,
    variance_code <> '' AS is_failing
FROM lake.recon.order_vs_ledger
WHERE shop = $shop AND month = $month
