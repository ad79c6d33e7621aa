-- VAT of the documents of the month, added up by what it is of. Key: (currency, direction, tax_kind, tax_code, rate). Source: vat_documents.
CREATE OR REPLACE TABLE vat_parts AS
SELECT
    currency,
    direction,
    tax_kind,
    tax_code,
    rate,
    CAST(sum(net_minor) AS BIGINT) AS net_minor,
    CAST(sum(tax_minor) AS BIGINT) AS tax_minor,
    CAST(sum(logged_tax_minor) AS BIGINT) AS logged_tax_minor
FROM vat_documents
GROUP BY currency, direction, tax_kind, tax_code, rate;
