-- late_lines and moved_lines where the month before is not signed: nothing is late. Columns as there.
CREATE OR REPLACE TABLE late_lines (
    transaction_id VARCHAR,
    currency VARCHAR,
    billing_cycle_id VARCHAR,
    transaction_type VARCHAR,
    subject_id VARCHAR,
    created_at TIMESTAMPTZ,
    amount_minor BIGINT,
    is_new BOOLEAN
);
CREATE OR REPLACE TABLE moved_lines (
    transaction_id VARCHAR,
    currency VARCHAR,
    billing_cycle_id VARCHAR,
    transaction_type VARCHAR,
    created_at TIMESTAMPTZ,
    amount_minor BIGINT
);
