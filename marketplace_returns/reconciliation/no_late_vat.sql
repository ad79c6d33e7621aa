-- late_vat where the month before is not signed: nothing is late. Columns as there.
CREATE OR REPLACE TABLE late_vat (
    direction VARCHAR,
    document_id VARCHAR,
    order_line_id VARCHAR,
    currency VARCHAR,
    is_on_top BOOLEAN,
    tax_kind VARCHAR,
    tax_code VARCHAR,
    rate DECIMAL(38, 10),
    net_minor BIGINT,
    tax_minor BIGINT
);
