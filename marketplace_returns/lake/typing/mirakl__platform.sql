-- One row per setting of the platform (PC01) and the shop account (A01); key setting.
-- Invariant: the name is the dotted path, such as pc01.features.shipment.multi_shipment; a list is one value, as JSON.
SELECT
    shop,
    concat_ws('.', o.name, regexp_replace(leaf.fullkey, '^\$\.', '')) AS setting,
    coalesce(json_extract_string(leaf.value, '$'), CAST(leaf.value AS VARCHAR)) AS value,
    content_hash AS payload_hash,
    fetched_at,
    run_id
FROM batch, json_tree(batch.o.settings) AS leaf
WHERE leaf.type NOT IN ('OBJECT', 'NULL') AND leaf.fullkey NOT LIKE '%[%'
