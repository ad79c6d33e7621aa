-- The shop's refunds that the marketplace confirmed to us. Key: intent_id. Source: the ledger's intents, of whose body and evidence only
-- this is read: what shows that goods came, and whether shipping is paid back. refund_id is the marketplace's, null where it gave none.
SELECT
    intent_id,
    currency,
    order_id,
    order_line_id,
    return_id,
    return_unit_id,
    nullif(external_ref, '') AS refund_id,
    amount_minor,
    coalesce(sent_at, planned_at) AS sent_at,
    confirmed_at,
    coalesce(json_extract_string(evidence, '$.evidence_class'), '') AS evidence_class,
    coalesce(TRY_CAST(json_extract_string(body, '$.refunds[0].shipping_amount') AS DECIMAL(18, 4)), 0) > 0 AS has_shipping
FROM incoming_frame
WHERE kind = 'refund' AND state IN ('CONFIRMED', 'REFLECTED', 'SETTLED')
