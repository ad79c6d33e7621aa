-- The order lines and refunds that rows of vat_summary add up. Key: (currency, direction, tax_code, rate). Source: vat_documents; of directions
-- $directions and codes $codes, where $is_inside only taxes that lie inside prices. largest are the $largest documents of the most tax, each with all its taxes of the row together.
WITH documents AS (
    SELECT
        currency,
        direction,
        tax_code,
        rate,
        document_id,
        any_value(order_line_id) AS order_line_id,
        CAST(sum(net_minor) AS BIGINT) AS net_minor,
        CAST(sum(tax_minor) AS BIGINT) AS tax_minor,
        CAST(sum(logged_tax_minor) AS BIGINT) AS logged_tax_minor
    FROM vat_documents
    WHERE
        list_contains($directions, direction) AND list_contains($codes, tax_code)
        AND (NOT $is_inside OR tax_minor <> logged_tax_minor)
    GROUP BY currency, direction, tax_code, rate, document_id
)
SELECT
    currency,
    direction,
    tax_code,
    rate,
    count(*) AS documents,
    CAST(sum(net_minor) AS BIGINT) AS net_minor,
    CAST(sum(tax_minor) AS BIGINT) AS tax_minor,
    CAST(sum(logged_tax_minor) AS BIGINT) AS logged_tax_minor,
    max({
        'size': abs(tax_minor),
        'net_size': abs(net_minor),
        'document_id': document_id,
        'order_line_id': order_line_id,
        'net_minor': net_minor,
        'tax_minor': tax_minor,
        'logged_tax_minor': logged_tax_minor
    }, $largest) AS largest
FROM documents
GROUP BY currency, direction, tax_code, rate;
