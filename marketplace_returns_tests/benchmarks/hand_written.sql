-- The close as a fair expert writes it by hand over the same Parquet: what several tables need is summed once, each table is one
-- query, nothing is proven and nothing goes through a lake. Single currency and single shop, taxes on top, every amount in minor
-- units, columns named as the product's. $folder, $month_start, $month_end and $refund_due_before are replaced in the text.
CREATE OR REPLACE TEMP MACRO up_to(total, part, whole) AS (2 * total * part + whole) // (2 * whole);
CREATE OR REPLACE TEMP TABLE log_sums AS
SELECT
    billing_cycle_id, transaction_type,
    CASE WHEN created_at < $month_start THEN 'before' WHEN created_at < $month_end THEN 'within' ELSE 'after' END AS period,
    sum(amount_minor) AS amount_minor, count(*) AS lines, max(created_at) AS last_created_at
FROM read_parquet('$folder/mirakl__transactions.parquet')
WHERE payment_state <> 'NOT_APPLICABLE'
GROUP BY ALL;
CREATE OR REPLACE TEMP TABLE log_sums AS
SELECT s.*, coalesce(t.component, 'UNMAPPED') AS component, coalesce(t.ledger_account, 'suspense') AS account
FROM log_sums AS s
LEFT JOIN read_parquet('$folder/transaction_types.parquet') AS t ON t.type = s.transaction_type;

CREATE OR REPLACE TEMP TABLE payout_proof AS
WITH logged AS (
    SELECT
        billing_cycle_id,
        sum(amount_minor) FILTER (transaction_type <> 'PAYMENT') AS ledger_amount_minor,
        -sum(amount_minor) FILTER (transaction_type = 'PAYMENT') AS payment_amount_minor,
        max(last_created_at) AS last_created_at
    FROM log_sums
    WHERE billing_cycle_id IS NOT NULL
    GROUP BY billing_cycle_id
),
cycles AS (
    SELECT
        billing_cycle_id,
        coalesce(c.created_at, l.last_created_at) AS date_created,
        coalesce(c.pay_out_state, 'NOT_ON_STATEMENT') AS pay_out_state,
        c.amount_to_seller_minor AS statement_amount_minor,
        coalesce(l.ledger_amount_minor, 0) AS ledger_amount_minor,
        l.payment_amount_minor,
        i.invoice_amount_minor
    FROM read_parquet('$folder/mirakl__billing_cycles.parquet') AS c
    FULL OUTER JOIN logged AS l USING (billing_cycle_id)
    LEFT JOIN (
        SELECT billing_cycle_id, sum(amount_transferred_minor) AS invoice_amount_minor
        FROM read_parquet('$folder/mirakl__invoices.parquet')
        WHERE invoice_type = 'AUTO_INVOICE'
        GROUP BY billing_cycle_id
    ) AS i USING (billing_cycle_id)
)
SELECT
    *,
    CASE
        WHEN ledger_amount_minor IS DISTINCT FROM statement_amount_minor
            OR coalesce(payment_amount_minor, CASE WHEN pay_out_state = 'PAID' THEN 0 END, statement_amount_minor) <> statement_amount_minor
            OR invoice_amount_minor <> statement_amount_minor THEN 'VARIANCE'
        WHEN payment_amount_minor IS NULL THEN 'OPEN'
        ELSE 'PROVEN'
    END AS status
FROM cycles
WHERE date_created >= $month_start AND date_created < $month_end;
COPY payout_proof TO '$folder/hand-written_payout_proof.parquet';

COPY (
    WITH stated AS (
        SELECT t.billing_cycle_id, c.component, sum(CASE WHEN t.field = c.plus_field THEN t.amount_minor ELSE -t.amount_minor END) AS amount_minor
        FROM read_parquet('$folder/mirakl__billing_cycle_totals.parquet') AS t
        INNER JOIN read_parquet('$folder/statement_components.parquet') AS c ON t.field IN (c.plus_field, c.minus_field)
        GROUP BY ALL
        HAVING sum(CASE WHEN t.field = c.plus_field THEN t.amount_minor ELSE -t.amount_minor END) <> 0
    ),
    logged AS (
        SELECT s.billing_cycle_id, coalesce(c.component, s.component) AS component, sum(s.amount_minor) AS amount_minor
        FROM log_sums AS s
        LEFT JOIN read_parquet('$folder/component_types.parquet') AS c USING (transaction_type)
        WHERE s.transaction_type <> 'PAYMENT'
        GROUP BY ALL
    )
    SELECT
        billing_cycle_id, component,
        coalesce(s.amount_minor, 0) AS statement_amount_minor,
        coalesce(l.amount_minor, 0) AS ledger_amount_minor,
        coalesce(l.amount_minor, 0) - coalesce(s.amount_minor, 0) AS difference_minor
    FROM stated AS s
    FULL OUTER JOIN logged AS l USING (billing_cycle_id, component)
    SEMI JOIN payout_proof AS p USING (billing_cycle_id)
) TO '$folder/hand-written_payout_components.parquet';

COPY (
    SELECT 'opening' AS component, coalesce(sum(amount_minor), 0) AS amount_minor, coalesce(sum(lines), 0) AS lines FROM log_sums WHERE period = 'before'
    UNION ALL
    SELECT component, sum(amount_minor), sum(lines) FROM log_sums WHERE period = 'within' GROUP BY component
    UNION ALL
    SELECT 'closing', sum(amount_minor), sum(lines) FROM log_sums WHERE period <> 'after'
) TO '$folder/hand-written_control_roll_forward.parquet';

CREATE OR REPLACE TEMP TABLE order_vs_ledger AS
WITH ledger AS (
    SELECT
        order_line_id,
        any_value(order_id) AS order_id,
        coalesce(sum(amount_minor) FILTER (transaction_type = 'ORDER_AMOUNT'), 0) AS sales,
        coalesce(sum(amount_minor) FILTER (transaction_type = 'ORDER_SHIPPING_AMOUNT'), 0) AS shipping,
        coalesce(sum(amount_minor) FILTER (transaction_type = 'ORDER_AMOUNT_TAX'), 0) AS sales_tax,
        coalesce(sum(amount_minor) FILTER (transaction_type = 'ORDER_SHIPPING_AMOUNT_TAX'), 0) AS shipping_tax,
        coalesce(sum(amount_minor) FILTER (transaction_type = 'COMMISSION_FEE'), 0) AS commission,
        coalesce(sum(amount_minor) FILTER (transaction_type = 'COMMISSION_VAT'), 0) AS commission_vat,
        max(created_at) >= $month_start AS is_of_month
    FROM read_parquet('$folder/mirakl__transactions.parquet')
    WHERE order_line_id IS NOT NULL AND refund_id IS NULL AND payment_state <> 'NOT_APPLICABLE' AND created_at < $month_end
    GROUP BY order_line_id
)
SELECT
    coalesce(l.order_id, t.order_id) AS order_id,
    order_line_id,
    coalesce(l.price_minor, 0) AS order_sales_minor, coalesce(t.sales, 0) AS ledger_sales_minor,
    coalesce(l.shipping_price_minor, 0) AS order_shipping_minor, coalesce(t.shipping, 0) AS ledger_shipping_minor,
    coalesce(l.product_tax_minor, 0) AS order_sales_tax_minor, coalesce(t.sales_tax, 0) AS ledger_sales_tax_minor,
    coalesce(l.shipping_tax_minor, 0) AS order_shipping_tax_minor, coalesce(t.shipping_tax, 0) AS ledger_shipping_tax_minor,
    coalesce(-l.commission_fee_minor, 0) AS order_commission_minor, coalesce(t.commission, 0) AS ledger_commission_minor,
    coalesce(-l.commission_vat_minor, 0) AS order_commission_vat_minor, coalesce(t.commission_vat, 0) AS ledger_commission_vat_minor,
    CASE
        WHEN order_sales_minor <> ledger_sales_minor THEN
            CASE WHEN ledger_sales_minor = 0 THEN 'MISSING_EXTRACT' WHEN abs(order_sales_minor - ledger_sales_minor) = 1 THEN 'ROUNDING' ELSE 'UNKNOWN' END
        WHEN order_shipping_minor <> ledger_shipping_minor THEN
            CASE WHEN ledger_shipping_minor = 0 THEN 'MISSING_EXTRACT' WHEN abs(order_shipping_minor - ledger_shipping_minor) = 1 THEN 'ROUNDING' ELSE 'UNKNOWN' END
        WHEN order_sales_tax_minor <> ledger_sales_tax_minor THEN
            CASE WHEN ledger_sales_tax_minor = 0 THEN 'MISSING_EXTRACT' WHEN abs(order_sales_tax_minor - ledger_sales_tax_minor) = 1 THEN 'ROUNDING' ELSE 'TAX_CODE' END
        WHEN order_shipping_tax_minor <> ledger_shipping_tax_minor THEN
            CASE WHEN ledger_shipping_tax_minor = 0 THEN 'MISSING_EXTRACT' WHEN abs(order_shipping_tax_minor - ledger_shipping_tax_minor) = 1 THEN 'ROUNDING' ELSE 'TAX_CODE' END
        WHEN order_commission_minor <> ledger_commission_minor THEN
            CASE WHEN ledger_commission_minor = 0 THEN 'MISSING_EXTRACT' WHEN abs(order_commission_minor - ledger_commission_minor) = 1 THEN 'ROUNDING' ELSE 'COMMISSION_RATE' END
        WHEN order_commission_vat_minor <> ledger_commission_vat_minor THEN
            CASE WHEN ledger_commission_vat_minor = 0 THEN 'MISSING_EXTRACT' WHEN abs(order_commission_vat_minor - ledger_commission_vat_minor) = 1 THEN 'ROUNDING' ELSE 'COMMISSION_RATE' END
        ELSE ''
    END AS variance_code
FROM (FROM read_parquet('$folder/mirakl__order_lines.parquet') WHERE debited_at < $month_end) AS l
FULL OUTER JOIN ledger AS t USING (order_line_id)
WHERE l.debited_at >= $month_start OR t.is_of_month;
COPY order_vs_ledger TO '$folder/hand-written_order_vs_ledger.parquet';

-- A return's units, what the warehouse found, and what they are worth.
CREATE OR REPLACE TEMP TABLE units AS
SELECT
    a.order_line_id || '#' || a.ordinal AS return_unit_id,
    a.return_id, a.order_line_id, a.ordinal, l.order_id,
    p.shipped_at, w.returned_at AS inspected_at,
    CASE WHEN r.matched_by = 'wrong_item' THEN 'wrong_item' ELSE d.canonical END AS disposition,
    c.created_at AS requested_at,
    CASE WHEN c.return_state IN ('REFUSED', 'CANCELED') THEN c.updated_at END AS called_off_at,
    up_to(l.price_minor, a.ordinal, l.quantity) - up_to(l.price_minor, a.ordinal - 1, l.quantity) AS value_minor,
    up_to(l.price_minor + l.product_tax_minor, a.ordinal, l.quantity) - up_to(l.price_minor + l.product_tax_minor, a.ordinal - 1, l.quantity) AS owed_minor
FROM read_parquet('$folder/return_unit_assignments.parquet') AS a
INNER JOIN read_parquet('$folder/mirakl__returns.parquet') AS c ON c.return_id = a.return_id
INNER JOIN read_parquet('$folder/mirakl__order_lines.parquet') AS l ON l.order_line_id = a.order_line_id
LEFT JOIN read_parquet('$folder/reveni__returns.parquet') AS p ON p.external_id = a.return_id
LEFT JOIN read_parquet('$folder/receipt_assignments.parquet') AS r
    ON r.return_unit_id = a.order_line_id || '#' || a.ordinal AND r.return_id = a.return_id
LEFT JOIN read_parquet('$folder/peoplevox__returns.parquet') AS w
    ON r.receipt_event_id = 'peoplevox:' || w.return_code || ':' || w.item_code || ':' || w.row_no
LEFT JOIN read_parquet('$folder/dispositions.parquet') AS d
    ON d.source_code = lower(w.return_condition) || '|' || lower(CAST(w.is_reusable AS VARCHAR));

CREATE OR REPLACE TEMP TABLE refund_three_way AS
WITH settled AS (
    SELECT
        refund_id,
        any_value(order_id) AS order_id,
        any_value(order_line_id) AS order_line_id,
        coalesce(-sum(amount_minor) FILTER (created_at < $month_end AND transaction_type = 'REFUND_ORDER_AMOUNT'), 0) AS product,
        coalesce(-sum(amount_minor) FILTER (created_at < $month_end AND transaction_type = 'REFUND_ORDER_SHIPPING_AMOUNT'), 0) AS shipping,
        coalesce(-sum(amount_minor) FILTER (created_at < $month_end AND transaction_type LIKE 'REFUND_ORDER%_TAX'), 0) AS tax,
        coalesce(sum(amount_minor) FILTER (created_at < $month_end AND transaction_type LIKE 'REFUND_COMMISSION%'), 0) AS commission,
        coalesce(bool_or(created_at < $month_end AND transaction_type LIKE 'REFUND_ORDER%'), false) AS is_settled,
        bool_or(created_at >= $month_end) AS is_booked_later,
        max(created_at) FILTER (created_at < $month_end) AS booked_at
    FROM read_parquet('$folder/mirakl__transactions.parquet')
    WHERE refund_id IS NOT NULL AND payment_state <> 'NOT_APPLICABLE'
    GROUP BY refund_id
),
confirmed AS (
    SELECT
        i.intent_id, i.external_ref AS refund_id, i.order_id, i.order_line_id, i.return_unit_id, i.amount_minor, i.sent_at, i.confirmed_at,
        json_extract_string(i.evidence, '$.evidence_class') AS evidence_class,
        CAST(json_extract_string(i.body, '$.refunds[0].shipping_amount') AS DECIMAL(18, 4)) > 0 AS has_shipping,
        u.return_id, u.inspected_at, u.disposition
    FROM read_parquet('$folder/intents.parquet') AS i
    LEFT JOIN units AS u ON u.return_unit_id = i.return_unit_id
    WHERE i.kind = 'refund' AND i.state IN ('CONFIRMED', 'REFLECTED', 'SETTLED') AND i.confirmed_at < $month_end
),
refunds AS (
    SELECT *, amount_minor + shipping_amount_minor + tax_minor + shipping_tax_minor AS made
    FROM read_parquet('$folder/mirakl__refunds.parquet')
    WHERE created_at < $month_end
),
-- Refunds by hand take the line's units that no intent refunded, in order.
free_units AS (
    SELECT *, row_number() OVER (PARTITION BY order_line_id ORDER BY inspected_at, ordinal) AS place
    FROM units
    ANTI JOIN confirmed USING (return_unit_id)
),
by_hand AS (
    SELECT f.refund_id, u.return_unit_id, u.return_id, u.inspected_at, u.disposition
    FROM (
        SELECT refund_id, order_line_id, row_number() OVER (PARTITION BY order_line_id ORDER BY created_at, refund_id) AS place
        FROM refunds
        ANTI JOIN confirmed USING (refund_id)
    ) AS f
    INNER JOIN free_units AS u USING (order_line_id, place)
),
platform AS (
    SELECT p.external_id AS return_id, sum(f.amount_minor) AS amount_minor
    FROM read_parquet('$folder/reveni__refunds.parquet') AS f
    INNER JOIN read_parquet('$folder/reveni__returns.parquet') AS p USING (platform_return_id)
    WHERE f.status <> 'FAILED'
    GROUP BY p.external_id
),
matched AS (
    SELECT
        coalesce('refund:' || coalesce(m.refund_id, s.refund_id), 'intent:' || i.intent_id) AS match_key,
        coalesce(m.refund_id, s.refund_id, i.refund_id) AS refund_id,
        coalesce(m.order_id, i.order_id, s.order_id) AS order_id,
        coalesce(m.order_line_id, i.order_line_id, s.order_line_id) AS order_line_id,
        coalesce(i.return_id, h.return_id) AS return_id,
        coalesce(i.return_unit_id, h.return_unit_id) AS return_unit_id,
        i.amount_minor AS intended_amount_minor,
        m.made AS marketplace_amount_minor,
        CASE WHEN s.is_settled THEN s.product + s.shipping + s.tax END AS settled_amount_minor,
        CASE WHEN coalesce(i.inspected_at, h.inspected_at) < $month_end THEN coalesce(i.disposition, h.disposition) END AS disposition,
        coalesce(i.inspected_at, h.inspected_at) AS inspected_at,
        coalesce(m.created_at, i.sent_at) AS requested_at,
        m.paid_at, i.sent_at, i.evidence_class, i.has_shipping,
        m.amount_minor AS m_product, m.shipping_amount_minor AS m_shipping, m.tax_minor + m.shipping_tax_minor AS m_tax,
        m.commission_minor + m.commission_vat_minor AS m_commission,
        s.product AS s_product, s.shipping AS s_shipping, s.tax AS s_tax, s.commission AS s_commission, s.is_booked_later
    FROM refunds AS m
    FULL OUTER JOIN settled AS s ON s.refund_id = m.refund_id
    FULL OUTER JOIN confirmed AS i ON i.refund_id = coalesce(m.refund_id, s.refund_id)
    LEFT JOIN by_hand AS h ON h.refund_id = m.refund_id
    WHERE m.created_at >= $month_start OR (m.refund_id IS NOT NULL AND m.paid_at IS NULL) OR m.paid_at >= $month_start
        OR s.booked_at >= $month_start OR i.confirmed_at >= $month_start
),
judged AS (
    SELECT
        *,
        greatest(coalesce(intended_amount_minor, 0), coalesce(marketplace_amount_minor, 0), coalesce(settled_amount_minor, 0))
        - least(coalesce(intended_amount_minor, 0), coalesce(marketplace_amount_minor, 0), coalesce(settled_amount_minor, 0)) AS difference_minor,
        CASE
            WHEN marketplace_amount_minor IS NULL THEN 'MISSING_EXTRACT'
            WHEN intended_amount_minor IS NULL AND return_id IS NOT NULL AND coalesce(inspected_at >= $month_end, true) THEN 'REFUND_WITHOUT_RECEIPT'
            WHEN intended_amount_minor IS NULL THEN 'MANUAL_PORTAL_REFUND'
            WHEN abs(intended_amount_minor - marketplace_amount_minor) = 1 THEN 'ROUNDING'
            WHEN intended_amount_minor > marketplace_amount_minor AND m_shipping = 0 AND has_shipping THEN 'SHIPPING_NOT_REFUNDED'
            WHEN intended_amount_minor <> marketplace_amount_minor THEN 'UNKNOWN'
            WHEN settled_amount_minor IS NULL AND (paid_at IS NULL OR paid_at >= $month_end) THEN 'TIMING_REFUND_PENDING'
            WHEN settled_amount_minor IS NULL AND is_booked_later THEN 'TIMING_CUTOFF'
            WHEN settled_amount_minor IS NULL THEN 'MISSING_EXTRACT'
            WHEN settled_amount_minor <> marketplace_amount_minor AND s_product = m_product AND s_shipping = m_shipping THEN
                CASE WHEN abs(s_tax - m_tax) = 1 THEN 'ROUNDING' ELSE 'TAX_CODE' END
            WHEN settled_amount_minor <> marketplace_amount_minor AND s_product = m_product AND s_shipping = 0 THEN 'SHIPPING_NOT_REFUNDED'
            WHEN abs(settled_amount_minor - marketplace_amount_minor) = 1 THEN 'ROUNDING'
            WHEN settled_amount_minor <> marketplace_amount_minor THEN 'UNKNOWN'
            WHEN m_commission <> 0 AND s_commission = 0 THEN 'COMMISSION_CREDIT_MISSING'
            WHEN inspected_at <= sent_at OR evidence_class IN ('RECEIVED', 'CARRIER_SCAN') THEN 'MATCHED'
            WHEN evidence_class = 'SLA_FORCED' AND inspected_at < $month_end THEN 'MATCHED'
            ELSE 'REFUND_WITHOUT_RECEIPT'
        END AS verdict
    FROM matched
)
SELECT
    j.match_key, j.order_id, j.order_line_id, j.return_id, j.return_unit_id, j.refund_id, j.intended_amount_minor, j.marketplace_amount_minor,
    j.settled_amount_minor, p.amount_minor AS platform_amount_minor, j.disposition, j.requested_at, j.paid_at, j.difference_minor, j.verdict,
    j.inspected_at
FROM judged AS j
LEFT JOIN platform AS p USING (return_id)
UNION ALL
SELECT
    'unit:' || return_unit_id, order_id, order_line_id, return_id, return_unit_id, NULL, NULL, NULL, NULL, NULL, disposition, NULL, NULL, 0,
    CASE WHEN inspected_at < $refund_due_before THEN 'RECEIPT_WITHOUT_REFUND' ELSE 'TIMING_REFUND_PENDING' END, inspected_at
FROM free_units
ANTI JOIN by_hand USING (return_unit_id)
WHERE inspected_at < $month_end AND disposition = 'sellable';
COPY (SELECT * EXCLUDE (inspected_at) FROM refund_three_way) TO '$folder/hand-written_refund_three_way.parquet';

-- When each unit was paid back: by an intent, or by hand.
CREATE OR REPLACE TEMP TABLE unit_refunds AS
WITH ours AS (
    SELECT return_unit_id, external_ref AS refund_id, confirmed_at AS refunded_at
    FROM read_parquet('$folder/intents.parquet')
    WHERE kind = 'refund' AND state IN ('CONFIRMED', 'REFLECTED', 'SETTLED')
),
by_hand AS (
    SELECT order_line_id, created_at, row_number() OVER (PARTITION BY order_line_id ORDER BY created_at, refund_id) AS place
    FROM read_parquet('$folder/mirakl__refunds.parquet')
    ANTI JOIN ours USING (refund_id)
),
free_units AS (
    SELECT *, row_number() OVER (PARTITION BY order_line_id ORDER BY inspected_at, ordinal) AS place
    FROM units
    ANTI JOIN ours USING (return_unit_id)
)
SELECT u.*, o.refunded_at FROM units AS u INNER JOIN ours AS o USING (return_unit_id)
UNION ALL
SELECT u.* EXCLUDE (place), h.created_at FROM free_units AS u LEFT JOIN by_hand AS h USING (order_line_id, place);

COPY (
    WITH moved AS (
        SELECT *, greatest(coalesce(refunded_at, called_off_at), inspected_at) AS gone_at
        FROM unit_refunds
        WHERE inspected_at < $month_end
    )
    FROM (
        SELECT 'opening' AS stage, count(*) AS quantity, coalesce(sum(value_minor), 0) AS value_minor
        FROM moved WHERE inspected_at < $month_start AND (gone_at IS NULL OR gone_at >= $month_start)
        UNION ALL
        SELECT 'received_' || coalesce(disposition, 'undecided'), count(*), sum(value_minor) FROM moved WHERE inspected_at >= $month_start GROUP BY ALL
        UNION ALL
        SELECT CASE WHEN refunded_at IS NULL THEN 'refused' ELSE 'refunded' END, -count(*), -sum(value_minor)
        FROM moved WHERE gone_at >= $month_start AND gone_at < $month_end GROUP BY ALL
        UNION ALL
        SELECT 'closing', count(*), coalesce(sum(value_minor), 0) FROM moved WHERE gone_at IS NULL OR gone_at >= $month_end
    )
    WHERE quantity <> 0 OR stage IN ('opening', 'closing')
) TO '$folder/hand-written_returns_physical_roll.parquet';

-- The shop accrues every stage whole, so nothing is measured anew, and expects nothing that nobody asked for.
COPY (
    WITH owed AS (
        SELECT
            owed_minor, shipped_at, inspected_at, refunded_at IS NOT NULL AS is_refunded,
            coalesce(refunded_at, called_off_at) AS gone_at,
            requested_at < $month_start AND coalesce(gone_at >= $month_start, true) AS is_opening,
            requested_at >= $month_start AND requested_at < $month_end AS is_new,
            requested_at < $month_end AND coalesce(gone_at >= $month_end, true) AS is_closing
        FROM unit_refunds
        WHERE refunded_at IS NULL OR refunded_at >= $month_start
    ),
    summed AS (
        SELECT
            coalesce(sum(owed_minor) FILTER (is_opening), 0) AS liability_opening,
            coalesce(sum(owed_minor) FILTER (is_new), 0) AS liability_new,
            coalesce(-sum(owed_minor) FILTER ((is_opening OR is_new) AND NOT is_closing AND is_refunded), 0) AS liability_utilised,
            coalesce(-sum(owed_minor) FILTER ((is_opening OR is_new) AND NOT is_closing AND NOT is_refunded), 0) AS liability_released,
            coalesce(sum(owed_minor) FILTER (is_closing), 0) AS liability_closing,
            coalesce(sum(owed_minor) FILTER (is_closing AND inspected_at < $month_end), 0) AS closing_received,
            coalesce(sum(owed_minor) FILTER (is_closing AND coalesce(inspected_at >= $month_end, true) AND shipped_at < $month_end), 0) AS closing_in_transit,
            liability_closing - closing_received - closing_in_transit AS closing_requested,
            any_value(c.cash_refunds) AS cash_refunds,
            any_value(c.cash_refunds) + liability_closing - liability_opening AS accrual_refunds
        FROM owed
        CROSS JOIN (
            SELECT coalesce(-sum(amount_minor), 0) AS cash_refunds
            FROM log_sums WHERE period = 'within' AND transaction_type LIKE 'REFUND_ORDER%'
        ) AS c
    )
    UNPIVOT (SELECT CAST(COLUMNS(*) AS BIGINT) FROM summed) ON * INTO NAME line VALUE amount_minor
) TO '$folder/hand-written_refund_accrual_bridge.parquet';

COPY (
    WITH line_taxes AS (
        FROM read_parquet('$folder/mirakl__order_line_taxes.parquet')
    ),
    sales AS (
        SELECT
            coalesce(t.tax_code, '') AS tax_code, t.rate,
            sum(CASE t.tax_kind WHEN 'product' THEN l.price_minor WHEN 'shipping' THEN l.shipping_price_minor ELSE l.price_minor + l.shipping_price_minor END) AS net_minor,
            coalesce(sum(t.amount_minor), 0) AS tax_minor
        FROM read_parquet('$folder/mirakl__order_lines.parquet') AS l
        LEFT JOIN line_taxes AS t USING (order_line_id)
        WHERE l.debited_at >= $month_start AND l.debited_at < $month_end
        GROUP BY ALL
    ),
    refunded AS (
        SELECT
            coalesce(t.tax_code, '') AS tax_code, q.rate,
            sum(CASE t.tax_kind WHEN 'product' THEN r.amount_minor WHEN 'shipping' THEN r.shipping_amount_minor ELSE r.amount_minor + r.shipping_amount_minor END) AS net_minor,
            coalesce(sum(t.amount_minor), 0) AS tax_minor
        FROM read_parquet('$folder/mirakl__refunds.parquet') AS r
        LEFT JOIN read_parquet('$folder/mirakl__refund_taxes.parquet') AS t ON t.refund_id = r.refund_id
        LEFT JOIN line_taxes AS q ON q.order_line_id = r.order_line_id AND q.tax_kind = t.tax_kind AND q.tax_code = t.tax_code
        WHERE r.paid_at >= $month_start AND r.paid_at < $month_end
        GROUP BY ALL
    ),
    charged AS (
        SELECT
            replace(component, '_vat', '') AS charge,
            -coalesce(sum(amount_minor) FILTER (account <> 'input_vat'), 0) AS net_minor,
            -coalesce(sum(amount_minor) FILTER (account = 'input_vat'), 0) AS tax_minor
        FROM log_sums
        WHERE period = 'within' AND replace(component, '_vat', '') IN (
            SELECT replace(component, '_vat', '') FROM read_parquet('$folder/transaction_types.parquet') WHERE ledger_account = 'input_vat'
        )
        GROUP BY charge
    ),
    found AS (
        SELECT 'output_sales' AS direction, * FROM sales
        UNION ALL
        SELECT 'output_refunds', tax_code, rate, -net_minor, -tax_minor FROM refunded
        UNION ALL
        SELECT 'input', charge, NULL, net_minor, tax_minor FROM charged
        UNION ALL
        SELECT 'operator_remitted', '', NULL, 0, -sum(amount_minor) FROM log_sums WHERE period = 'within' AND component = 'operator_remitted'
    )
    FROM found WHERE net_minor <> 0 OR tax_minor <> 0
) TO '$folder/hand-written_vat_summary.parquet';

COPY (
    WITH rates AS (
        SELECT
            category, rate, credit_on_refund, valid_from,
            lead(valid_from, 1, DATE 'infinity') OVER (PARTITION BY category ORDER BY valid_from) AS valid_to
        FROM read_parquet('$folder/commission_rates.parquet')
    ),
    paid_back AS (
        SELECT
            r.order_line_id,
            sum(r.amount_minor + r.shipping_amount_minor) AS refunded,
            sum(CASE WHEN w.refund_id IS NULL THEN r.commission_minor ELSE 0 END) AS credited,
            count(*) AS refunds
        FROM read_parquet('$folder/mirakl__refunds.parquet') AS r
        LEFT JOIN refund_three_way AS w ON w.refund_id = r.refund_id AND w.verdict = 'COMMISSION_CREDIT_MISSING'
        WHERE r.paid_at >= $month_start AND r.paid_at < $month_end
        GROUP BY r.order_line_id
    ),
    expected AS (
        SELECT
            l.order_id, l.order_line_id,
            coalesce(-c.ledger_commission_minor, 0) AS charged_commission_minor,
            coalesce(p.credited, 0) AS credited_minor,
            coalesce(p.refunds, 0) AS refunds,
            l.price_minor + l.shipping_price_minor AS base,
            coalesce(CAST(round_even(base * q.rate, 0) AS BIGINT), l.commission_fee_minor) AS agreed,
            CASE WHEN c.order_line_id IS NULL THEN 0 WHEN q.rate IS NULL THEN charged_commission_minor ELSE agreed END AS expected_commission_minor,
            CASE
                WHEN p.refunded IS NULL OR q.credit_on_refund = 'none' THEN 0
                WHEN q.credit_on_refund = 'partial' THEN credited_minor
                ELSE round_even(CAST(agreed AS DECIMAL(18, 0)) * p.refunded / base, 0)
            END AS expected_credit_minor
        FROM read_parquet('$folder/mirakl__order_lines.parquet') AS l
        LEFT JOIN (FROM order_vs_ledger WHERE ledger_commission_minor <> 0) AS c ON c.order_line_id = l.order_line_id
        LEFT JOIN paid_back AS p ON p.order_line_id = l.order_line_id
        LEFT JOIN rates AS q ON q.category = l.category_code AND q.valid_from <= l.created_at AND q.valid_to > l.created_at
        WHERE c.order_line_id IS NOT NULL OR p.order_line_id IS NOT NULL
    )
    SELECT
        order_id, order_line_id, expected_commission_minor, charged_commission_minor, CAST(expected_credit_minor AS BIGINT) AS expected_credit_minor,
        credited_minor,
        CAST(charged_commission_minor - credited_minor - expected_commission_minor + expected_credit_minor AS BIGINT) AS difference_minor,
        CASE
            WHEN abs(charged_commission_minor - expected_commission_minor) > 1 THEN 'COMMISSION_RATE'
            WHEN abs(expected_credit_minor - credited_minor) <= refunds THEN 'ROUNDING'
            ELSE 'COMMISSION_CREDIT_MISSING'
        END AS variance_code
    FROM expected
    WHERE charged_commission_minor <> expected_commission_minor OR expected_credit_minor <> credited_minor
) TO '$folder/hand-written_commission_variance.parquet';

COPY (
    WITH booked_later AS (
        SELECT refund_id, min(created_at) AS booked_at
        FROM read_parquet('$folder/mirakl__transactions.parquet')
        WHERE created_at >= $month_end AND refund_id IN (SELECT refund_id FROM refund_three_way WHERE verdict = 'TIMING_CUTOFF')
        GROUP BY refund_id
    ),
    found AS (
        SELECT
            r.verdict AS cause, r.match_key AS reference,
            coalesce(r.marketplace_amount_minor, r.intended_amount_minor, u.value_minor) AS amount_minor,
            coalesce(r.requested_at, r.inspected_at) AS since,
            coalesce(b.booked_at, CASE WHEN r.paid_at >= $month_end THEN r.paid_at END) AS until
        FROM (FROM refund_three_way WHERE verdict LIKE 'TIMING%') AS r
        LEFT JOIN booked_later AS b USING (refund_id)
        LEFT JOIN units AS u USING (return_unit_id)
        UNION ALL
        SELECT
            CASE WHEN c.created_at < $month_end THEN 'CARRIED_IN' ELSE 'CARRIED_OUT' END,
            coalesce(s.billing_cycle_id, 'open'),
            sum(s.amount_minor),
            CASE WHEN c.created_at < $month_end THEN $month_start - INTERVAL 1 SECOND ELSE $month_start END,
            CASE WHEN c.created_at < $month_end THEN $month_start ELSE c.created_at END
        FROM log_sums AS s
        LEFT JOIN read_parquet('$folder/mirakl__billing_cycles.parquet') AS c USING (billing_cycle_id)
        WHERE
            s.transaction_type <> 'PAYMENT'
            AND CASE WHEN c.created_at < $month_start THEN false WHEN c.created_at < $month_end THEN s.period = 'before' ELSE s.period <> 'after' END
        GROUP BY s.billing_cycle_id, c.created_at
        UNION ALL
        SELECT 'DEBITED_NOT_SHIPPED', order_line_id, total_price_minor, debited_at, shipped_at
        FROM read_parquet('$folder/mirakl__order_lines.parquet')
        WHERE
            debited_at >= $month_start AND debited_at < $month_end
            AND (shipped_at >= $month_end OR shipped_at IS NULL AND line_state IN ('SHIPPING', 'TO_COLLECT'))
    )
    SELECT
        cause, reference, amount_minor,
        strftime(timezone('Europe/London', since), '%Y-%m') AS from_month,
        strftime(timezone('Europe/London', until), '%Y-%m') AS to_month
    FROM found
    WHERE amount_minor <> 0
) TO '$folder/hand-written_timing_differences.parquet';

COPY (
    WITH unmatched AS (
        SELECT CASE WHEN status = 'OPEN' THEN 'PAYOUT_OPEN' ELSE 'PAYOUT' END AS kind, billing_cycle_id AS reference, statement_amount_minor AS amount_minor, date_created AS since
        FROM payout_proof WHERE status <> 'PROVEN'
        UNION ALL
        SELECT
            v.variance_code, v.order_line_id,
            v.ledger_sales_minor + v.ledger_shipping_minor + v.ledger_sales_tax_minor + v.ledger_shipping_tax_minor + v.ledger_commission_minor
            + v.ledger_commission_vat_minor - v.order_sales_minor - v.order_shipping_minor - v.order_sales_tax_minor - v.order_shipping_tax_minor
            - v.order_commission_minor - v.order_commission_vat_minor,
            l.debited_at
        FROM order_vs_ledger AS v
        LEFT JOIN read_parquet('$folder/mirakl__order_lines.parquet') AS l USING (order_line_id)
        WHERE v.variance_code <> ''
        UNION ALL
        SELECT
            r.verdict, r.match_key,
            coalesce(nullif(r.difference_minor, 0), r.marketplace_amount_minor, r.intended_amount_minor, u.value_minor),
            coalesce(r.requested_at, r.inspected_at)
        FROM (FROM refund_three_way WHERE verdict <> 'MATCHED') AS r
        LEFT JOIN units AS u USING (return_unit_id)
    ),
    aged AS (
        SELECT *, CAST(greatest(floor(epoch($month_end - coalesce(since, $month_start)) / 86400), 0) AS INTEGER) AS age_days FROM unmatched
    )
    SELECT
        CASE
            WHEN age_days <= 7 THEN '0-7' WHEN age_days <= 14 THEN '8-14' WHEN age_days <= 30 THEN '15-30' WHEN age_days <= 60 THEN '31-60'
            WHEN age_days <= 90 THEN '61-90' ELSE '>90'
        END AS bucket,
        kind, reference, amount_minor, age_days, coalesce(o.owner, (SELECT owner FROM read_parquet('$folder/code_owners.parquet') WHERE code = '')) AS owner
    FROM aged AS a
    LEFT JOIN read_parquet('$folder/code_owners.parquet') AS o ON o.code = a.kind
) TO '$folder/hand-written_aged_unmatched.parquet';
