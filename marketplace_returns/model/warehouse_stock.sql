-- One row per item of the warehouse's stock list, the figures of the shop's sites added up. Key: (shop, item_code).
-- available: nothing for an item that the last whole list did not have any more (is_listed = false): the list names what is
-- on a site. Source: Peoplevox Item inventory summary.
CREATE OR REPLACE VIEW model.warehouse_stock AS
SELECT
    w.shop,
    w.item_code,
    CAST(coalesce(sum(w.available) FILTER (w.is_listed), 0) AS BIGINT) AS available,
    bool_or(w.is_listed) AS is_listed,
    max(w.fetched_at) AS fetched_at,
    max(w.payload_hash) AS payload_hash
FROM lake.core.peoplevox__stock AS w
INNER JOIN setting.shops AS c ON c.shop = w.shop
WHERE len(c.sites) = 0 OR w.site = '*' OR list_contains(c.sites, w.site)
GROUP BY w.shop, w.item_code;
