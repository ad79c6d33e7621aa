-- One row per order that a line of the transaction log or a cancelation belongs to, with the kind of number it is. Key: (shop, order_id, kind).
-- Neither table is sorted by it: asked only where no other number is so called. Variable 'reference' holds the number.
-- Source: TL02, OR11 cancelations.
SELECT DISTINCT shop, order_id, 'transaction' AS kind
FROM lake.core.mirakl__transactions
WHERE transaction_id = getvariable('reference') AND order_id IS NOT NULL
UNION
SELECT DISTINCT shop, order_id, 'cancelation' AS kind
FROM lake.core.mirakl__cancelations
WHERE cancelation_id = getvariable('reference')
ORDER BY shop, order_id, kind;
