-- One row per offer, as it was last read when the month was closed: what is on sale beside what the warehouse has to sell, which is its
-- available units less the buffer and less what is sold and not yet in the warehouse (wanted). Key: (kind, reference). Source:
-- model.stock, push_stock writes. An offer that differs is WAITING where a push of it is on its way, or was made since offers were last
-- read; nobody told the marketplace of the others (VARIANCE), or the warehouse gives no figure (NO_FIGURE). Invariant I10.
CREATE OR REPLACE TABLE stock_proof AS
WITH pushes AS (
    SELECT
        offer_sku,
        bool_or(is_waiting) AS is_waiting,
        max(confirmed_at) AS pushed_at
    FROM ledger.stock_pushes AS p
    WHERE p.is_waiting OR confirmed_at >= $month_start
    GROUP BY offer_sku
),
compared AS (
    SELECT
        s.offer_sku,
        coalesce(greatest(0, s.available - $stock_buffer - s.not_yet_in_warehouse_qty), 0) AS wanted_qty,
        s.offer_quantity AS found_qty,
        s.available IS NOT NULL AS has_figure,
        coalesce(p.is_waiting, false) OR coalesce(p.pushed_at >= a.read_at, p.pushed_at IS NOT NULL) AS is_on_its_way
    FROM model.stock AS s
    LEFT JOIN pushes AS p ON p.offer_sku = s.offer_sku
    LEFT JOIN ledger.reads AS a ON a.shop = $shop AND a.stream = 'mirakl/offer'
    WHERE s.shop = $shop AND $is_pushing
)
SELECT
    $shop AS shop,
    $currency AS currency,
    $month AS month,
    'offer' AS kind,
    offer_sku AS reference,
    wanted_qty,
    found_qty,
    CASE
        WHEN wanted_qty = found_qty THEN 'MATCHED'
        WHEN NOT has_figure THEN 'NO_FIGURE'
        WHEN is_on_its_way THEN 'WAITING'
        ELSE 'VARIANCE'
    END AS state
FROM compared;
