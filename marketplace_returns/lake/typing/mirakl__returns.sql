-- One row per return of the marketplace; key return_id; RT11 data[].
-- Invariant: the state is Mirakl's own; what we make of it is the model's.
SELECT
    shop,
    o.id AS return_id,
    o.order_id,
    o.order_commercial_id,
    o.state AS return_state,
    o.rma,
    o.method_code,
    o.reason_code,
    o.rejection_reason_code,
    o.label_url,
    o.tracking.tracking_number,
    o.tracking.carrier_name,
    o.date_created AS created_at,
    o.last_updated AS updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch
