-- One row per order that a cancelation belongs to, with the kind of number it is. Key: (shop, order_id, kind).
-- The table is not sorted by it, and small. Variable 'reference' holds the number. Source: OR11 cancelations.
SELECT DISTINCT shop, order_id, 'cancelation' AS kind
FROM lake.core.mirakl__cancelations
WHERE cancelation_id = getvariable('reference')
ORDER BY shop, order_id, kind;
