-- late_documents where the month before is not signed: nothing is late. Columns as there.
CREATE OR REPLACE TABLE late_documents (subject VARCHAR, reference VARCHAR, since TIMESTAMPTZ, is_new BOOLEAN);
