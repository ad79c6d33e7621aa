-- One row per tax that an order line has now and whose refund was refused over tax (an open REFUND_REJECTED_TAX), to be held against the
-- refund's body on the exception's page. Key: (exception_id, tax_kind, tax_code); oldest first. amount: the tax of the whole line.
-- Source: OR11's taxes, the ledger's exceptions.
SELECT
    c.exception_id, t.order_id, t.order_line_id, t.tax_kind, t.tax_code, t.currency, t.amount_minor, t.rate, t.calculation_rule,
    t.updated_at, c.opened_at
FROM ledger.cases AS c
INNER JOIN lake.core.mirakl__order_line_taxes AS t
    ON t.shop = c.shop AND t.order_line_id = json_extract_string(c.entity, '$.order_line_id')
WHERE c.shop = $shop AND c.type = 'REFUND_REJECTED_TAX' AND c.resolved_at IS NULL
ORDER BY c.opened_at, c.exception_id, t.tax_kind, t.tax_code;
