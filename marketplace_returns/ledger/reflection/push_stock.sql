-- One row per push_stock intent whose offer was read again after the file was taken: the value was seen, sold from or replaced.
-- The SKU is the natural key up to its last @. Source: core.mirakl__offers (OF21). Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__offers AS o
    ON o.shop = $shop AND o.offer_sku = regexp_extract(w.natural_key, '^(.*)@', 1)
WHERE w.kind = 'push_stock' AND o.fetched_at > w.confirmed_at
