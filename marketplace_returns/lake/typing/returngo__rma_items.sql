-- One row per returned unit of an RMA; key platform_return_id, item_id; items[].
-- Invariant: ReturnGO gives one element per unit and no quantity; what it says was paid is kept to compare (R3).
SELECT
    shop,
    platform_return_id,
    item.returnedItemId AS item_id,
    item.externalId AS external_id,
    item.sku,
    item.returnReason AS return_reason,
    item.extendedReason AS extended_reason,
    item.resolutionType AS resolution_type,
    item.paidPrice.currency AS currency,
    item.paidPrice.amount AS paid_price,
    item.paidTax.amount AS paid_tax,
    item.restockingFee AS restocking_fee,
    item.returnFee AS return_fee,
    item.shipmentFee AS shipment_fee,
    item.itemValidationStatusResponse.isReturned AS is_returned,
    item.itemValidationStatusResponse.isRestockable AS is_restockable,
    item.itemValidationStatusResponse.nonReturnedReason AS non_returned_reason,
    item.itemValidationStatusResponse.nonRestockableReason AS non_restockable_reason,
    item.itemValidationStatusResponse.lastValidationDate AS validated_at,
    updated_at,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM (
    SELECT
        shop,
        regexp_replace(o.rmaSummary.rmaId, '^(?i:RMA)', '') AS platform_return_id,
        o.lastUpdated AS updated_at,
        unnest(o.items) AS item,
        content_hash,
        fetched_at,
        run_id
    FROM batch
) AS items
