-- One row per landed payload of some content hashes: the object as it came, without personal fields. Key: (source, object_type, object_id, content_hash, fetched_at).
-- Files are told apart by shop and time: $fetched_from and $fetched_until are the instant a typed row names, or what bounds all of time.
-- Source: landing.payloads.
SELECT shop, source, object_type, object_id, content_hash, fetched_at, body
FROM lake.landing.payloads
WHERE shop = $shop AND fetched_at >= $fetched_from AND fetched_at <= $fetched_until AND list_contains($hashes, content_hash)
ORDER BY source, object_type, object_id, fetched_at;
