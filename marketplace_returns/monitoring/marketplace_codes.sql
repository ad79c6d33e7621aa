-- One row per code that the marketplace takes from us: its reasons by what they are for, and its carriers. A row of reasons.csv or
-- carriers.csv that targets another one is refused. Key: (list, used_for, code). may_use: whether the seller may use it. mapped_from: our
-- words that are mapped to it. Source: RE01, SH21, mapping.reasons, mapping.carriers.
WITH words AS (
    SELECT DISTINCT 'reasons' AS list, target_code, source_system || ' ' || source_code AS word
    FROM mapping.reasons WHERE target_vocabulary LIKE 'mirakl%'
    UNION ALL
    SELECT DISTINCT 'carriers', carrier_code, source_system || ' ' || source_code FROM mapping.carriers
),
targets AS (
    SELECT list, target_code, string_agg(word, ', ' ORDER BY word) AS mapped_from FROM words GROUP BY ALL
),
codes AS (
    SELECT 'reasons' AS list, reason_type AS used_for, code, label, is_shop_right AS may_use, fetched_at
    FROM lake.core.mirakl__reasons WHERE shop = $shop
    UNION ALL
    SELECT 'carriers', 'DESPATCH', code, label, true, fetched_at FROM lake.core.mirakl__carriers WHERE shop = $shop
)
SELECT c.list, c.used_for, c.code, c.label, c.may_use, t.mapped_from, c.fetched_at AS read_at
FROM codes AS c
LEFT JOIN targets AS t ON t.list = c.list AND t.target_code = c.code
ORDER BY c.list, c.used_for, c.code;
