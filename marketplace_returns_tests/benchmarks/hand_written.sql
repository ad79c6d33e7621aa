-- The close as a fair expert writes it by hand over the same Parquet: payout by cycle and type, the log's pivot per order
-- line beside the order's figures, refunds by four sources with a verdict. $folder is replaced by the data's folder.
COPY (
    SELECT billing_cycle_id, transaction_type, sum(amount_minor) AS amount
    FROM read_parquet('$folder/mirakl__transactions.parquet') GROUP BY ALL
) TO '$folder/out_payout.parquet';
COPY (
    WITH pivoted AS (
        SELECT
            order_line_id,
            sum(amount_minor) FILTER (transaction_type = 'ORDER_AMOUNT') AS sales,
            sum(amount_minor) FILTER (transaction_type = 'ORDER_SHIPPING_AMOUNT') AS shipping,
            sum(amount_minor) FILTER (transaction_type = 'ORDER_AMOUNT_TAX') AS tax,
            sum(amount_minor) FILTER (transaction_type = 'ORDER_SHIPPING_AMOUNT_TAX') AS shipping_tax,
            sum(amount_minor) FILTER (transaction_type = 'COMMISSION_FEE') AS commission,
            sum(amount_minor) FILTER (transaction_type = 'COMMISSION_VAT') AS commission_vat
        FROM read_parquet('$folder/mirakl__transactions.parquet')
        WHERE order_line_id IS NOT NULL AND refund_id IS NULL
        GROUP BY order_line_id
    ),
    taxes AS (
        SELECT
            order_line_id,
            sum(amount_minor) FILTER (tax_kind = 'product') AS tax,
            sum(amount_minor) FILTER (tax_kind = 'shipping') AS shipping_tax
        FROM read_parquet('$folder/mirakl__order_line_taxes.parquet') GROUP BY order_line_id
    )
    SELECT
        l.order_id, l.order_line_id, l.price_minor, l.shipping_price_minor, t.tax, t.shipping_tax, l.commission_fee_minor,
        l.commission_vat_minor, p.* EXCLUDE (order_line_id),
        l.price_minor = p.sales AND l.shipping_price_minor = coalesce(p.shipping, 0) AND t.tax = p.tax
        AND coalesce(t.shipping_tax, 0) = coalesce(p.shipping_tax, 0) AND l.commission_fee_minor = -p.commission
        AND l.commission_vat_minor = -p.commission_vat AS is_matched
    FROM read_parquet('$folder/mirakl__order_lines.parquet') AS l
    LEFT JOIN taxes AS t ON t.order_line_id = l.order_line_id
    FULL OUTER JOIN pivoted AS p ON p.order_line_id = l.order_line_id
) TO '$folder/out_lines.parquet';
COPY (
    WITH settled AS (
        SELECT
            refund_id,
            -sum(amount_minor) FILTER (transaction_type LIKE 'REFUND_ORDER%') AS settled,
            sum(amount_minor) FILTER (transaction_type LIKE 'REFUND_COMMISSION%') AS credited,
            max(billing_cycle_id) AS billing_cycle_id
        FROM read_parquet('$folder/mirakl__transactions.parquet') WHERE refund_id IS NOT NULL GROUP BY refund_id
    ),
    platform AS (
        SELECT p.external_id AS return_id, sum(f.amount_minor) AS amount
        FROM read_parquet('$folder/reveni__refunds.parquet') AS f
        INNER JOIN read_parquet('$folder/reveni__returns.parquet') AS p ON p.platform_return_id = f.platform_return_id
        GROUP BY p.external_id
    ),
    units AS (
        SELECT a.order_line_id || '#' || a.ordinal AS return_unit_id, a.return_id, w.returned_at AS inspected_at, w.return_condition AS disposition
        FROM read_parquet('$folder/return_unit_assignments.parquet') AS a
        LEFT JOIN read_parquet('$folder/receipt_assignments.parquet') AS r ON r.return_unit_id = a.order_line_id || '#' || a.ordinal
        LEFT JOIN read_parquet('$folder/peoplevox__returns.parquet') AS w
            ON r.receipt_event_id = 'peoplevox:' || w.return_code || ':' || w.item_code || ':' || w.row_no
    )
    SELECT
        coalesce(m.refund_id, i.external_ref, s.refund_id) AS refund_id, m.order_id, m.order_line_id, u.return_id,
        i.amount_minor AS intended, m.amount_minor + m.shipping_amount_minor + m.tax_minor + m.shipping_tax_minor AS made,
        s.settled, f.amount AS platform, u.disposition, m.created_at, m.paid_at, s.billing_cycle_id,
        CASE
            WHEN i.external_ref IS NULL THEN 'MANUAL_PORTAL_REFUND'
            WHEN m.refund_id IS NULL THEN 'MISSING_EXTRACT'
            WHEN s.settled IS NULL THEN 'TIMING_REFUND_PENDING'
            WHEN i.amount_minor <> m.amount_minor + m.tax_minor OR s.settled <> m.amount_minor + m.tax_minor THEN 'UNKNOWN'
            WHEN coalesce(s.credited, 0) = 0 AND m.commission_minor > 0 THEN 'COMMISSION_CREDIT_MISSING'
            WHEN u.inspected_at IS NULL OR u.inspected_at > i.sent_at THEN 'REFUND_WITHOUT_RECEIPT'
            ELSE 'MATCHED'
        END AS verdict
    FROM read_parquet('$folder/mirakl__refunds.parquet') AS m
    FULL OUTER JOIN settled AS s ON s.refund_id = m.refund_id
    FULL OUTER JOIN read_parquet('$folder/intents.parquet') AS i ON i.external_ref = coalesce(m.refund_id, s.refund_id)
    FULL OUTER JOIN units AS u ON u.return_unit_id = i.return_unit_id
    LEFT JOIN platform AS f ON f.return_id = u.return_id
) TO '$folder/out_refunds.parquet';
