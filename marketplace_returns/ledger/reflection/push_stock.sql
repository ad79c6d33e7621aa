-- One row per push_stock intent whose offer was read after the file was taken and shows the value, or has changed since it was sent
-- (sold from, or replaced). An addition has no value of its own: the offer read again is all that can show.
-- Source: core.mirakl__offers (OF21; fetched_at is when the row last changed). Input: done_writes, stream_reads. Parameters: $shop.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN stream_reads AS r ON r.stream = 'mirakl/offer' AND r.read_at >= w.confirmed_at
INNER JOIN lake.core.mirakl__offers AS o
    ON o.shop = $shop AND o.offer_sku = w.offer_sku
WHERE w.kind = 'push_stock' AND (w.quantity IS NULL OR o.quantity = w.quantity OR o.fetched_at > w.sent_at)
