-- One row per name that units were given to a return under. Key: (shop, name). A marketplace return goes by its id; one whose
-- twin was known first goes by the twin's name too (<platform>:<its id>), so that its units keep their ordinals (C5).
-- Source: model.return_cases.
CREATE OR REPLACE VIEW model.return_names AS
SELECT shop, return_id AS name, return_id
FROM model.return_cases
UNION ALL
SELECT shop, platform || ':' || platform_return_id AS name, return_id
FROM model.return_cases
WHERE return_state IS NOT NULL AND NOT is_void AND platform_return_id IS NOT NULL AND platform IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY shop, platform, platform_return_id ORDER BY created_at, return_id) = 1;
