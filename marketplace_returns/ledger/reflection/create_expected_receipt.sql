-- One row per create_expected_receipt intent that the warehouse shows: its purchase order; for a change (<return id>@...) one that
-- was read after it was taken and shows no other content since; for a cancellation (<return id>/cancel) that it is cancelled.
-- Source: core.peoplevox__purchase_orders. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.peoplevox__purchase_orders AS p ON p.shop = $shop AND p.purchase_order_number = w.external_ref
WHERE
    w.kind = 'create_expected_receipt'
    AND CASE
        WHEN suffix(w.natural_key, '/cancel') THEN lower(p.status) IN ('cancelled', 'canceled', 'deleted')
        WHEN contains(w.natural_key, '@') THEN p.fetched_at >= w.confirmed_at
        ELSE true
    END
