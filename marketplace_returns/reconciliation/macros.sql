-- Words shared by month-end tables.
-- order_code(shop, currency, component, on_order, on_ledger): why a component of an order line differs; '' where it does not (I5).
-- tolerance(shop, check, currency) is made of the settings before (close.stage_tolerances).
CREATE OR REPLACE MACRO stage.order_code(shop, currency, component, on_order, on_ledger) AS (
    CASE
        WHEN on_order = on_ledger THEN ''
        WHEN on_ledger = 0 THEN 'MISSING_EXTRACT'
        WHEN abs(on_order - on_ledger) <= stage.tolerance(shop, 'order_line', currency) THEN 'ROUNDING'
        WHEN component IN ('commission', 'commission_vat') THEN 'COMMISSION_RATE'
        WHEN component IN ('sales_tax', 'shipping_tax') THEN 'TAX_CODE'
        ELSE 'UNKNOWN'
    END
);
-- is_only_named(code): whether nothing more is expected of what has it, so that it stays with its month (brought_forward).
CREATE OR REPLACE MACRO stage.is_only_named(code) AS (code IN ('ROUNDING', 'MANUAL_PORTAL_REFUND'));
-- vat_net(price, shipping, tax_kind, tax, is_on_top): what a tax of a line or refund stands on: the price, or its shipping, without the
-- taxes that lie inside it; the whole of both where there is no tax (tax_kind is null).
CREATE OR REPLACE MACRO stage.vat_net(price, shipping, tax_kind, tax, is_on_top) AS (
    CASE
        WHEN tax_kind IS NULL THEN price + shipping
        ELSE CASE WHEN tax_kind = 'product' THEN price ELSE shipping END - CASE WHEN is_on_top THEN 0 ELSE tax END
    END
);
