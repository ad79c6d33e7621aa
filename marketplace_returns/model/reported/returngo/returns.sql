-- One row per RMA in ReturnGO. Source: core.returngo__rmas, __sightings, __transactions, core.mirakl__orders, setting.shops.
-- The order is the one whose id is the RMA's order name, up to the sign before it and the case where the settings say so; a
-- name that fits two orders fits none. ReturnGO gives no time of posting or receipt: posted when a shipment was first seen on
-- its way; received, and resolved, when that status was first seen, or at the last update where that was earlier.
WITH named AS (
    SELECT
        r.shop,
        r.platform_return_id,
        ltrim(trim(r.order_name), c.order_name_strip) AS bare_name,
        c.is_order_name_folded AS is_folded,
        CASE WHEN is_folded THEN lower(bare_name) ELSE bare_name END AS name
    FROM lake.core.returngo__rmas AS r
    INNER JOIN setting.shops AS c ON c.shop = r.shop
),
orders AS (
    SELECT n.shop, n.platform_return_id, min(o.order_id) AS order_id
    FROM named AS n
    INNER JOIN lake.core.mirakl__orders AS o
        ON o.shop = n.shop AND n.name = CASE WHEN n.is_folded THEN lower(o.order_id) ELSE o.order_id END
    GROUP BY n.shop, n.platform_return_id
    HAVING count(*) = 1
),
seen AS (
    SELECT
        shop,
        platform_return_id,
        min(fetched_at) FILTER (subject = 'shipment' AND NOT coalesce(is_outbound, false)
            AND lower(status) NOT IN ('pending', 'labelcreated')) AS shipped_at,
        min(fetched_at) FILTER (subject = 'rma' AND status IN ('Received', 'Validated', 'Done')) AS received_at,
        min(fetched_at) FILTER (subject = 'rma' AND status IN ('Done', 'Rejected', 'Canceled')) AS resolved_at
    FROM lake.core.returngo__sightings
    GROUP BY shop, platform_return_id
),
money AS (
    SELECT shop, platform_return_id, min(currency) AS currency, sum(amount_minor) AS amount_minor
    FROM lake.core.returngo__transactions
    WHERE transaction_type <> 'InvoicePayment'
    GROUP BY shop, platform_return_id
    HAVING count(DISTINCT currency) = 1
)
SELECT
    r.shop,
    'returngo' AS platform,
    r.platform_return_id,
    r.external_id,
    coalesce(o.order_id, n.bare_name) AS order_id,
    -- on its way is no status of ReturnGO's own, so it is put together with the shipment's
    CASE WHEN r.status = 'Approved' AND s.shipped_at IS NOT NULL THEN 'Approved|Shipped' ELSE r.status END AS platform_status,
    false AS is_instant,
    coalesce(m.currency, c.currency) AS currency,
    CAST(m.amount_minor AS BIGINT) AS refund_amount_minor,
    r.carrier,
    r.tracking_number,
    r.label_url,
    r.created_at,
    r.updated_at,
    s.shipped_at,
    CASE WHEN s.received_at IS NOT NULL THEN least(s.received_at, r.updated_at) END AS received_at,
    CASE WHEN r.status IN ('Done', 'Rejected', 'Canceled') THEN least(s.resolved_at, r.updated_at) END AS resolved_at,
    r.payload_hash
FROM lake.core.returngo__rmas AS r
INNER JOIN setting.shops AS c ON c.shop = r.shop
INNER JOIN named AS n ON n.shop = r.shop AND n.platform_return_id = r.platform_return_id
LEFT JOIN orders AS o ON o.shop = r.shop AND o.platform_return_id = r.platform_return_id
LEFT JOIN seen AS s ON s.shop = r.shop AND s.platform_return_id = r.platform_return_id
LEFT JOIN money AS m ON m.shop = r.shop AND m.platform_return_id = r.platform_return_id
