-- Words shared by month-end tables.
-- order_code(component, on_order, on_ledger): why a component of an order line differs; '' where it does not (I5).
CREATE OR REPLACE MACRO stage.order_code(component, on_order, on_ledger) AS (
    CASE
        WHEN on_order = on_ledger THEN ''
        WHEN on_ledger = 0 THEN 'MISSING_EXTRACT'
        WHEN abs(on_order - on_ledger) = 1 THEN 'ROUNDING'
        WHEN component IN ('commission', 'commission_vat') THEN 'COMMISSION_RATE'
        WHEN component IN ('sales_tax', 'shipping_tax') THEN 'TAX_CODE'
        ELSE 'UNKNOWN'
    END
);
