-- What left the warehouse beside what the marketplace shows as shipped, per order line that did either by month end. Key: order_line_id.
-- Sources: Peoplevox despatches (units of an order and item, given to its lines in their order), lines (shipped_at). In the month: shipped
-- or despatched in it, or still on one side only at its end. value is the price of the units that are on one side only; of both where
-- they agree. Invariant: a despatched unit counts on one line at most.
CREATE OR REPLACE TABLE despatch_vs_revenue AS
WITH parcels AS (
    SELECT sales_order_number AS order_id, item_code, sum(quantity) AS quantity, max(despatched_at) AS despatched_at
    FROM lake.core.peoplevox__despatches
    WHERE shop = $shop AND despatched_at < $month_end
    GROUP BY sales_order_number, item_code
),
sold AS (
    SELECT
        l.currency,
        l.order_id,
        l.order_line_id,
        l.quantity,
        l.price_minor,
        coalesce(s.item_code, l.offer_sku) AS item_code,
        CASE WHEN l.shipped_at < $month_end THEN l.shipped_at END AS shipped_at,
        l.line_index,
        l.is_void
    FROM lines AS l
    LEFT JOIN mapping.skus AS s ON s.shop = $shop AND s.offer_sku = l.offer_sku
    -- A shop whose warehouse tells of no despatches has nothing to compare.
    WHERE l.created_at < $month_end AND EXISTS (SELECT 1 FROM parcels)
),
placed AS (
    SELECT
        s.*,
        p.despatched_at,
        coalesce(p.quantity, 0) AS despatched_in_all,
        coalesce(sum(s.quantity) OVER (
            PARTITION BY s.order_id, s.item_code ORDER BY s.is_void, s.line_index, s.order_line_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS units_before
    FROM sold AS s
    INNER JOIN parcels AS p ON p.order_id = s.order_id AND p.item_code = s.item_code
    UNION ALL BY NAME
    SELECT s.*, NULL AS despatched_at, 0 AS despatched_in_all, 0 AS units_before
    FROM sold AS s
    ANTI JOIN parcels AS p ON p.order_id = s.order_id AND p.item_code = s.item_code
    WHERE s.shipped_at IS NOT NULL
),
compared AS (
    SELECT
        *,
        CAST(least(quantity, greatest(despatched_in_all - units_before, 0)) AS BIGINT) AS despatched_quantity,
        CASE WHEN shipped_at IS NULL THEN 0 ELSE quantity END AS shipped_quantity
    FROM placed
)
SELECT
    $shop AS shop,
    currency,
    $month AS month,
    order_id,
    order_line_id,
    despatched_quantity,
    CAST(shipped_quantity AS BIGINT) AS shipped_quantity,
    CASE
        WHEN despatched_quantity = shipped_quantity THEN price_minor
        ELSE model.cumulative_share(price_minor, CAST(abs(despatched_quantity - shipped_quantity) AS BIGINT), quantity)
    END AS value_minor,
    CASE
        WHEN despatched_quantity > shipped_quantity THEN 'DESPATCHED_NOT_SHIPPED'
        WHEN despatched_quantity < shipped_quantity THEN 'SHIPPED_NOT_DESPATCHED'
        ELSE 'BOTH'
    END AS state
FROM compared
WHERE
    (despatched_quantity > 0 OR shipped_quantity > 0)
    AND (
        despatched_quantity <> shipped_quantity
        OR coalesce(shipped_at >= $month_start, false)
        OR coalesce(despatched_at >= $month_start, false)
    );
