-- One row per inspecting system and canonical disposition: the target system's code for it. Source: mapping.reasons.
SELECT source_system, source_code, target_code
FROM mapping.reasons
WHERE
    flow = 'report_compliance'
    AND target_vocabulary = $vocabulary
    AND coalesce(valid_from, DATE '0001-01-01') <= $today
QUALIFY row_number() OVER (PARTITION BY source_system, source_code ORDER BY valid_from DESC NULLS LAST) = 1
ORDER BY source_system, source_code;
