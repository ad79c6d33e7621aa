-- One row per difference between the marketplace's offers and the items of the warehouse's catalogue, both ways (R87).
-- Key: (difference, offer_sku, item_code). Codes are compared exactly, then without regard to case, then without blanks.
-- missing: an offer without an item, its orders will fail; case, whitespace: an item that is spelled otherwise; duplicate:
-- two offers of one item, or two items that fold to one; extra: an item that is not on sale. Source: OF21, Item types,
-- mapping.skus. Invariant: no row where the warehouse's catalogue was not read yet.
WITH offers AS (
    SELECT
        f.offer_sku,
        coalesce(s.item_code, f.offer_sku) AS item_code,
        lower(coalesce(s.item_code, f.offer_sku)) AS lowered,
        lower(regexp_replace(coalesce(s.item_code, f.offer_sku), '\s', '', 'g')) AS folded,
        f.quantity
    FROM lake.core.mirakl__offers AS f
    LEFT JOIN mapping.skus AS s ON s.shop = f.shop AND s.offer_sku = f.offer_sku
    WHERE f.shop = $shop
),
items AS (
    SELECT item_code, lower(item_code) AS lowered, lower(regexp_replace(item_code, '\s', '', 'g')) AS folded
    FROM lake.core.peoplevox__item_types
    WHERE shop = $shop
),
matched AS (
    SELECT
        o.offer_sku,
        o.item_code,
        o.folded,
        o.quantity,
        e.item_code AS exact,
        (SELECT min(i.item_code) FROM items AS i WHERE i.lowered = o.lowered) AS in_other_case,
        (SELECT min(i.item_code) FROM items AS i WHERE i.folded = o.folded) AS in_other_spelling
    FROM offers AS o
    LEFT JOIN items AS e ON e.item_code = o.item_code
),
differences AS (
    SELECT
        CASE
            WHEN in_other_case IS NOT NULL THEN 'case'
            WHEN in_other_spelling IS NOT NULL THEN 'whitespace'
            ELSE 'missing'
        END AS difference,
        offer_sku,
        coalesce(in_other_case, in_other_spelling, item_code) AS item_code,
        quantity AS offer_quantity
    FROM matched
    WHERE exact IS NULL
    UNION ALL
    SELECT 'duplicate', string_agg(offer_sku, ', ' ORDER BY offer_sku), min(item_code), CAST(sum(quantity) AS BIGINT)
    FROM offers
    GROUP BY folded
    HAVING count(*) > 1
    UNION ALL
    SELECT 'duplicate', '', string_agg(item_code, ', ' ORDER BY item_code), NULL
    FROM items
    GROUP BY folded
    HAVING count(*) > 1
    UNION ALL
    SELECT 'extra', '', i.item_code, NULL
    FROM items AS i
    WHERE NOT EXISTS (SELECT 1 FROM offers AS o WHERE o.folded = i.folded)
)
SELECT difference, offer_sku, item_code, offer_quantity
FROM differences
WHERE (SELECT count(*) FROM items) > 0
ORDER BY difference = 'extra', difference, offer_sku, item_code;
