-- The shop's refunds and stock pushes as the ledger has them. Key: intent_id. Source: the ledger's intents, of whose body and evidence
-- only this is read: what shows that goods came, whether a refund pays shipping, the offer that is pushed and by how much.
SELECT
    shop,
    kind,
    natural_key,
    intent_id,
    state,
    order_id,
    order_line_id,
    return_id,
    return_unit_id,
    amount_minor,
    currency,
    external_ref,
    CASE WHEN kind = 'refund' THEN coalesce(json_extract_string(evidence, '$.evidence_class'), '') END AS evidence_class,
    CASE
        WHEN kind = 'refund'
            THEN coalesce(TRY_CAST(json_extract_string(body, '$.refunds[0].shipping_amount') AS DECIMAL(18, 4)), 0) > 0
    END AS has_shipping,
    CASE WHEN kind = 'push_stock' THEN json_extract_string(body, '$.offer_sku') END AS offer_sku,
    CASE WHEN kind = 'push_stock' THEN CAST(json_extract(body, '$.delta') AS BIGINT) END AS delta,
    planned_at,
    sent_at,
    confirmed_at
FROM incoming_frame
