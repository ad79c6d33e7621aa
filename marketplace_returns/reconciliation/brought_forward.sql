-- What this month looks at again of earlier ones: what the last month that was closed left unmatched, and what came late for a signed one.
-- Key: (subject, reference); subject is line, refund or cycle, reference as in aged_unmatched. since is when it arose, at the latest.
-- Sources: aged_unmatched of $carried_from, late_documents, late_lines, stage.explained. Left with the month that has them: residuals that are only
-- named (ROUNDING, MANUAL_PORTAL_REFUND), which nothing more is expected of, and what a person has explained.
-- Invariant: what is unmatched stays on the list until it is matched or explained.
CREATE OR REPLACE TABLE brought_forward AS
WITH unmatched AS (
    SELECT
        CASE
            WHEN kind IN ('PAYOUT', 'PAYOUT_OPEN') THEN 'cycle'
            WHEN regexp_matches(reference, '^(refund|intent|unit|receipt|log):') THEN 'refund'
            ELSE 'line'
        END AS subject,
        reference,
        kind,
        CAST($carried_end AS TIMESTAMPTZ) - to_days(age_days) AS since
    FROM lake.recon.aged_unmatched
    WHERE shop = $shop AND month = $carried_from AND NOT stage.is_only_named(kind)
)
SELECT subject, reference, min(kind) AS kind, min(since) AS since
FROM (
    SELECT u.*
    FROM unmatched AS u
    ANTI JOIN stage.explained AS e ON e.reference = u.reference
    UNION ALL
    SELECT subject, reference, '', since FROM late_documents
    UNION ALL
    SELECT
        CASE WHEN starts_with(transaction_type, 'REFUND') THEN 'refund' ELSE 'line' END,
        CASE
            WHEN subject_id = transaction_id THEN 'log:'
            WHEN starts_with(transaction_type, 'REFUND') THEN 'refund:'
            ELSE ''
        END || subject_id,
        '',
        created_at
    FROM late_lines
    WHERE is_booked(transaction_type, '')
)
GROUP BY subject, reference;
