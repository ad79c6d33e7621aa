-- One row per canonical disposition: the target system's code for it in one flow. Source: mapping.reasons.
SELECT source_code, target_code
FROM mapping.reasons
WHERE flow = $flow AND target_vocabulary = $vocabulary AND valid_from <= $today
QUALIFY row_number() OVER (PARTITION BY source_code ORDER BY valid_from DESC) = 1
ORDER BY source_code;
