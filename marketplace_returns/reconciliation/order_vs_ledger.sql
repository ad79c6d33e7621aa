-- One row per order line that was debited or booked in the month. Key: order_line_id.
-- Source: OR11 lines (price, shipping, commission; taxes only in TAX_EXCLUDED, where they come on top and are logged) and
-- TL02 ORDER_* and COMMISSION_* lines up to month end. A line's log cannot be older than the line, so the log is read
-- from $lines_log_from on (log_bounds). Invariant I5: each component is the same on both sides.
COPY (
WITH ledger AS (
    SELECT
        currency,
        order_line_id,
        any_value(order_id) AS order_id,
        CAST(sum(amount_minor) FILTER (transaction_type = 'ORDER_AMOUNT') AS BIGINT) AS sales,
        CAST(sum(amount_minor) FILTER (transaction_type = 'ORDER_SHIPPING_AMOUNT') AS BIGINT) AS shipping,
        CAST(sum(amount_minor) FILTER (transaction_type = 'ORDER_AMOUNT_TAX') AS BIGINT) AS sales_tax,
        CAST(sum(amount_minor) FILTER (transaction_type = 'ORDER_SHIPPING_AMOUNT_TAX') AS BIGINT) AS shipping_tax,
        CAST(sum(amount_minor) FILTER (transaction_type = 'COMMISSION_FEE') AS BIGINT) AS commission,
        CAST(sum(amount_minor) FILTER (transaction_type = 'COMMISSION_VAT') AS BIGINT) AS commission_vat,
        bool_or(created_at >= $month_start) AS is_booked_in_month
    FROM lake.core.mirakl__transactions
    WHERE
        shop = $shop
        AND created_at >= $lines_log_from
        AND created_at < $month_end
        AND order_line_id IS NOT NULL
        AND payment_state <> 'NOT_APPLICABLE'
        AND transaction_type IN (
            'ORDER_AMOUNT', 'ORDER_SHIPPING_AMOUNT', 'ORDER_AMOUNT_TAX', 'ORDER_SHIPPING_AMOUNT_TAX', 'COMMISSION_FEE', 'COMMISSION_VAT'
        )
    GROUP BY currency, order_line_id
),
on_top AS (
    SELECT
        t.order_line_id,
        CAST(coalesce(sum(t.amount_minor) FILTER (t.tax_kind = 'product'), 0) AS BIGINT) AS sales_tax,
        CAST(coalesce(sum(t.amount_minor) FILTER (t.tax_kind = 'shipping'), 0) AS BIGINT) AS shipping_tax
    FROM lake.core.mirakl__order_line_taxes AS t
    LEFT JOIN order_modes AS o ON o.order_id = t.order_id
    WHERE t.shop = $shop AND coalesce(o.is_on_top, (SELECT is_on_top FROM order_modes WHERE order_id IS NULL))
    GROUP BY t.order_line_id
),
lines AS (
    SELECT
        l.currency,
        l.order_id,
        l.order_line_id,
        l.price_minor AS sales,
        l.shipping_price_minor AS shipping,
        coalesce(t.sales_tax, 0) AS sales_tax,
        coalesce(t.shipping_tax, 0) AS shipping_tax,
        -l.commission_fee_minor AS commission,
        -l.commission_vat_minor AS commission_vat,
        l.debited_at >= $month_start AS is_debited_in_month
    FROM lake.core.mirakl__order_lines AS l
    LEFT JOIN on_top AS t ON t.order_line_id = l.order_line_id
    WHERE l.shop = $shop AND l.debited_at < $month_end
),
compared AS (
    SELECT
        coalesce(o.currency, t.currency) AS currency,
        coalesce(o.order_id, t.order_id, '') AS order_id,
        coalesce(o.order_line_id, t.order_line_id) AS order_line_id,
        coalesce(o.sales, 0) AS order_sales_minor,
        coalesce(o.shipping, 0) AS order_shipping_minor,
        coalesce(o.sales_tax, 0) AS order_sales_tax_minor,
        coalesce(o.shipping_tax, 0) AS order_shipping_tax_minor,
        coalesce(o.commission, 0) AS order_commission_minor,
        coalesce(o.commission_vat, 0) AS order_commission_vat_minor,
        coalesce(t.sales, 0) AS ledger_sales_minor,
        coalesce(t.shipping, 0) AS ledger_shipping_minor,
        coalesce(t.sales_tax, 0) AS ledger_sales_tax_minor,
        coalesce(t.shipping_tax, 0) AS ledger_shipping_tax_minor,
        coalesce(t.commission, 0) AS ledger_commission_minor,
        coalesce(t.commission_vat, 0) AS ledger_commission_vat_minor
    FROM lines AS o
    FULL OUTER JOIN ledger AS t ON t.order_line_id = o.order_line_id AND t.currency = o.currency
    WHERE coalesce(o.is_debited_in_month, false) OR coalesce(t.is_booked_in_month, false)
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
    coalesce(
        nullif(stage.order_code('sales', order_sales_minor, ledger_sales_minor), ''),
        nullif(stage.order_code('shipping', order_shipping_minor, ledger_shipping_minor), ''),
        nullif(stage.order_code('sales_tax', order_sales_tax_minor, ledger_sales_tax_minor), ''),
        nullif(stage.order_code('shipping_tax', order_shipping_tax_minor, ledger_shipping_tax_minor), ''),
        nullif(stage.order_code('commission', order_commission_minor, ledger_commission_minor), ''),
        nullif(stage.order_code('commission_vat', order_commission_vat_minor, ledger_commission_vat_minor), ''),
        ''
    ) AS variance_code
FROM compared
) TO $file (FORMAT parquet, STRING_DICTIONARY_PAGE_SIZE_LIMIT 4096);
