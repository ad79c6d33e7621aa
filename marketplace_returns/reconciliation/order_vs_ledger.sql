-- One row per order line that was debited or booked in the month, or is looked at again (brought_forward); and per log line of a sale
-- that names no order line, as log:<transaction id>. Key: (order_line_id, currency).
-- Source: lines (price, shipping, commission; taxes only in TAX_EXCLUDED, where they come on top and are logged) and
-- what TL02's ORDER_* and COMMISSION_* lines have booked on it as of month end. A line's log cannot be older than the line,
-- so bookings are read from $lines_log_from on (log_bounds). A line that was booked in another currency has a row in each (FX).
-- Invariant I5: each component is the same on both sides.
COPY (
WITH again AS (
    SELECT reference AS order_line_id FROM brought_forward WHERE subject = 'line'
),
held AS (
    SELECT *
    FROM lake.core.bookings
    WHERE shop = $shop AND kind IN ('sale', 'unnamed sale') AND booked_from >= $lines_log_from
    UNION ALL
    SELECT *
    FROM lake.core.bookings
    WHERE
        shop = $shop AND kind IN ('sale', 'unnamed sale') AND booked_from >= $again_log_from AND booked_from < $lines_log_from
        AND subject_id IN (SELECT replace(order_line_id, 'log:', '') FROM again)
),
ledger AS (
    SELECT
        currency,
        CASE WHEN kind = 'sale' THEN subject_id ELSE 'log:' || subject_id END AS order_line_id,
        order_id,
        product_minor AS sales,
        shipping_minor AS shipping,
        product_tax_minor AS sales_tax,
        shipping_tax_minor AS shipping_tax,
        commission_minor AS commission,
        commission_vat_minor AS commission_vat,
        booked_from >= $month_start AS is_booked_in_month
    FROM held
    WHERE booked_from < $month_end AND (booked_until IS NULL OR booked_until >= $month_end)
),
compared AS (
    SELECT
        coalesce(o.currency, t.currency) AS currency,
        coalesce(o.order_id, t.order_id, '') AS order_id,
        coalesce(o.order_line_id, t.order_line_id) AS order_line_id,
        o.order_line_id IS NULL AS is_in_log_alone,
        coalesce(o.order_line_id, t.order_line_id) IN (SELECT subject_id FROM currency_mismatches WHERE kind = 'sale') AS is_mismatched,
        coalesce(o.price_minor, 0) AS order_sales_minor,
        coalesce(o.shipping_price_minor, 0) AS order_shipping_minor,
        coalesce(o.sales_tax_minor, 0) AS order_sales_tax_minor,
        coalesce(o.shipping_tax_minor, 0) AS order_shipping_tax_minor,
        coalesce(-o.commission_fee_minor, 0) AS order_commission_minor,
        coalesce(-o.commission_vat_minor, 0) AS order_commission_vat_minor,
        coalesce(t.sales, 0) AS ledger_sales_minor,
        coalesce(t.shipping, 0) AS ledger_shipping_minor,
        coalesce(t.sales_tax, 0) AS ledger_sales_tax_minor,
        coalesce(t.shipping_tax, 0) AS ledger_shipping_tax_minor,
        coalesce(t.commission, 0) AS ledger_commission_minor,
        coalesce(t.commission_vat, 0) AS ledger_commission_vat_minor
    FROM (FROM lines WHERE debited_at < $month_end) AS o
    FULL OUTER JOIN ledger AS t ON t.order_line_id = o.order_line_id AND t.currency = o.currency
    WHERE
        coalesce(o.debited_at >= $month_start, false) OR coalesce(t.is_booked_in_month, false)
        OR coalesce(o.order_line_id, t.order_line_id) IN (SELECT order_line_id FROM again)
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    order_id,
    order_line_id,
    order_sales_minor,
    order_shipping_minor,
    order_sales_tax_minor,
    order_shipping_tax_minor,
    order_commission_minor,
    order_commission_vat_minor,
    ledger_sales_minor,
    ledger_shipping_minor,
    ledger_sales_tax_minor,
    ledger_shipping_tax_minor,
    ledger_commission_minor,
    ledger_commission_vat_minor,
    CASE
        WHEN is_in_log_alone AND NOT is_mismatched THEN 'MISSING_EXTRACT'
        WHEN
            order_sales_minor = ledger_sales_minor AND order_shipping_minor = ledger_shipping_minor AND order_sales_tax_minor = ledger_sales_tax_minor
            AND order_shipping_tax_minor = ledger_shipping_tax_minor AND order_commission_minor = ledger_commission_minor AND order_commission_vat_minor = ledger_commission_vat_minor THEN ''
        WHEN is_mismatched THEN 'FX'
        -- Rounding hides nothing: it is named where nothing else differs.
        ELSE coalesce(
            nullif(nullif(stage.order_code($shop, currency, 'sales', order_sales_minor, ledger_sales_minor), ''), 'ROUNDING'),
            nullif(nullif(stage.order_code($shop, currency, 'shipping', order_shipping_minor, ledger_shipping_minor), ''), 'ROUNDING'),
            nullif(nullif(stage.order_code($shop, currency, 'sales_tax', order_sales_tax_minor, ledger_sales_tax_minor), ''), 'ROUNDING'),
            nullif(nullif(stage.order_code($shop, currency, 'shipping_tax', order_shipping_tax_minor, ledger_shipping_tax_minor), ''), 'ROUNDING'),
            nullif(nullif(stage.order_code($shop, currency, 'commission', order_commission_minor, ledger_commission_minor), ''), 'ROUNDING'),
            nullif(nullif(stage.order_code($shop, currency, 'commission_vat', order_commission_vat_minor, ledger_commission_vat_minor), ''), 'ROUNDING'),
            'ROUNDING'
        )
    END AS variance_code
FROM compared
) TO $file (FORMAT parquet, STRING_DICTIONARY_PAGE_SIZE_LIMIT 4096);
