-- The shop's stock pushes, of a figure or of a unit added (delta). Key: natural_key. Source: the ledger's intents.
SELECT
    natural_key,
    json_extract_string(body, '$.offer_sku') AS offer_sku,
    CAST(json_extract(body, '$.delta') AS BIGINT) AS delta,
    state IN ('PLANNED', 'SENDING', 'UNKNOWN') AS is_waiting,
    state IN ('CONFIRMED', 'REFLECTED', 'SETTLED') AS is_done,
    planned_at,
    confirmed_at
FROM incoming_frame
WHERE kind = 'push_stock'
