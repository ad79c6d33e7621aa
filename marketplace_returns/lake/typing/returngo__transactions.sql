-- One row per money movement of an RMA; key transaction_id; transactions[].
-- Invariant: bank details are taken out before anything lands; the amount is in the shopper's currency.
SELECT
    shop,
    transaction.id AS transaction_id,
    platform_return_id,
    transaction.type AS transaction_type,
    transaction.status,
    transaction.amount.currency,
    transaction.amount.amount AS amount_minor,
    transaction.processor,
    transaction.externalReferenceId AS external_reference_id,
    transaction.externalReferenceType AS external_reference_type,
    CAST(to_json(transaction.returnItemIds) AS VARCHAR) AS item_ids,
    transaction.createdAt AS created_at,
    updated_at,
    CASE WHEN lower(transaction.status) NOT IN ('requested', 'pending') THEN transaction.lastUpdated END AS settled_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        shop,
        regexp_replace(o.rmaSummary.rmaId, '^(?i:RMA)', '') AS platform_return_id,
        o.lastUpdated AS updated_at,
        unnest(o.transactions) AS transaction,
        content_hash,
        fetched_at,
        run_id
    FROM batch
) AS transactions
