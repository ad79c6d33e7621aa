-- One row per link_return intent whose marketplace return (linked, or made by it) is accepted and carries a key of ours (RT11 rma), and
-- a label where that was written later.
-- Source: core.mirakl__returns. Parameters: $shop. Input: view done_writes.
SELECT w.intent_id
FROM done_writes AS w
INNER JOIN lake.core.mirakl__returns AS r ON r.shop = $shop AND r.return_id IN (w.return_id, w.external_ref)
WHERE w.kind = 'link_return' AND r.return_state <> 'WAITING_ACCEPTANCE' AND coalesce(r.rma, '') <> ''
    AND (coalesce(r.label_url, '') <> '' OR NOT ends_with(w.natural_key, '/label'))
